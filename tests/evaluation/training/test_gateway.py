"""Training through a gateway: nothing is spent before it is known whose weights answer."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.deployment import gateway as proving
from claas_assets.evaluation.errors import GatewayUnproven, RequestRefused
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.storage.stores import place_at
from claas_assets.evaluation.training.stages import ensure_adapter, ensure_baseline, run_training
from claas_assets.evaluation.verdict.ruling import judge


@pytest.fixture
def through(training, gateway, monkeypatch):
    """`through("local", honors_names=False)` → a training through a gateway, and the gateway."""
    monkeypatch.setattr(proving, "NOBODY_S", 1.0)

    def make(mode="local", **settings):
        made = training(mode, fake_settings={"unknown_model": "404"}, metrics=["compliance"], num_steps=1)
        between = gateway(made.fake, **settings)
        monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", between.token)
        made.changes["openclaw_url"] = between.url
        return made, between

    return make


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_each_request_of_a_training_names_the_adapter_and_the_record_says_what_was_proven(through, mode):
    made, between = through(mode)
    made.run()
    names = {request.headers["x-openclaw-model"] for request in between.log.at("/v1/chat/completions")}
    lora_id = made.adapter["lora_id"]
    assert {name for name in names if not name.startswith("no-such-adapter-")} == {lora_id.replace("/", "-")}
    assert made.adapter["gateway"]["names_honored"] is True
    assert made.adapter["gateway"]["url"] == between.url
    assert made.steps[0]["sub_step_count"] == 4
    assert {t["metadata"]["truncated"] for t in made.steps[0]["eval"]["rollouts"]} == {None}
    assert any("not known whether" in note for note in verdict_of(made).notes)


def test_through_a_gateway_that_ignores_the_name_nothing_is_made(through):
    made, between = through(honors_names=False)
    between.lora_id = made.fake.deployment.init("eval/another", None)
    with pytest.raises(GatewayUnproven):
        made.run()
    assert made.fake.log.count("/v1/lora/init") == 0
    assert not (made.folder / "metadata.json").exists()


def test_an_unproven_gateway_that_is_allowed_is_in_the_record_and_in_the_verdict(through):
    made, between = through(honors_names=False)
    between.lora_id = made.fake.deployment.init("eval/another", None)
    made.run(allow_unproven_gateway=True)
    assert made.adapter["gateway"]["names_honored"] is False
    assert "other weights" in verdict_of(made).notes[0]


def test_an_adapter_that_the_gateway_does_not_answer_for_is_deleted_again(through):
    made, between = through()
    between.settings.honors_names = True
    init, made.fake.deployment.weights_for = made.fake.deployment.init, made.fake.deployment.weights_for
    known = made.fake.deployment.weights_for

    def forgets(model):
        return known("nobody" if "identity" in model else model)

    made.fake.deployment.weights_for = forgets
    with pytest.raises(RequestRefused, match="does not answer for the adapter"):
        made.run()
    assert made.fake.deployment.adapters == {}
    assert init is not None


def test_a_gateway_that_was_configured_otherwise_meanwhile_stops_baseline_and_steps(through):
    made, between = through()
    adapter = ensure_adapter(made.context(), resuming=True)
    between.lora_id, between.settings.honors_names = adapter.lora_id, False
    with pytest.raises(GatewayUnproven):
        ensure_baseline(made.context(), adapter, resuming=True)
    between.settings.honors_names = True
    baseline = ensure_baseline(made.context(), adapter, resuming=True)
    between.settings.honors_names = False
    with pytest.raises(GatewayUnproven):
        run_training(made.context(), adapter, baseline)
    assert made.fake.log.count("/v1/feedback") == 0


def verdict_of(made):
    scores = PreferenceFolder(place_at(str(made.folder))).training().as_scored()
    return judge(scores, made.context().config.thresholds)


def test_the_token_is_in_no_record(through):
    made, between = through()
    made.run()
    assert between.token not in json.dumps(made.adapter)
