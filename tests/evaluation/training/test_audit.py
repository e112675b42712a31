"""The adapter that people use, measured as it is: nothing is made, trained or deleted."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from claas_assets.cli import clean
from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.errors import DeploymentError, ForbiddenInAudit
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.storage.stores import place_at
from claas_assets.evaluation.training.cost import cost_of
from claas_assets.evaluation.training.stages import ensure_adapter, ensure_baseline, run_training
from claas_assets.evaluation.verdict.ruling import judge
from claas_assets.wire import FeedbackItem
from tests.fake_claas import status
from tests.fake_claas.model import Weights
from tests.fake_claas.recorder import Request

FEEDBACK = ("Your name is Kuro, always introduce yourself as Kuro",)
BASE = {"embedded": "fake/base-model"}
PATH = "tinker://fake/openclaw/assistant-latest/sampler/step-40"


@pytest.fixture
def audit(training):
    """`audit("local")` → an audit of an adapter with 40 updates behind it, not run yet."""

    def make(mode="local", **changes):
        values = {"metrics": ["logprob", "compliance"], "lora_id": "to be made", **changes}
        made = training(mode, fake_settings={"counted_checkpoints": True}, **values)
        made.changes.setdefault("base_model", BASE.get(mode, "Qwen/Qwen3-8B"))
        state = made.fake.deployment
        made.changes["lora_id"] = lora_id = state.init("openclaw/assistant-latest", None)
        state.adapters[lora_id].updates, state.adapters[lora_id].feedback = 40, FEEDBACK
        if mode == "tinker":
            state._checkpoints[PATH], state.sampler_path = Weights(40, FEEDBACK), PATH
        return made

    return make


def verdict_of(made):
    scores = PreferenceFolder(place_at(str(made.folder))).training().as_scored()
    return judge(scores, made.context().config.thresholds)


@pytest.mark.parametrize("mode", ["embedded", "local", "modal", "tinker"])
def test_an_audit_measures_the_base_model_and_the_adapter_and_changes_nothing(audit, mode):
    made = audit(mode)
    made.run()
    paths = {(request.method, request.path) for request in made.fake.log.requests}
    assert not paths & {("POST", "/v1/feedback"), ("POST", "/v1/lora/init"), ("DELETE", "/v1/lora")}
    assert made.fake.updates == {made.changes["lora_id"]: 40}
    assert made.adapter["lora_id"] == made.changes["lora_id"]
    (step,) = made.steps
    assert step["sub_step_count"] == 0
    assert step["trained_meanwhile"] is None
    baseline = json.loads((made.folder / "baseline.json").read_text("utf-8"))
    assert baseline["preference_compliance"] == 0
    assert step["eval"]["preference_compliance"] == 1
    assert step["eval"]["logprob_margin"]["margin_delta_from_baseline"] > 1
    verdict = verdict_of(made)
    assert verdict.criteria["obeyed"].evidence == "shown"
    assert verdict.notes[0].startswith("an audit: nothing was trained")
    if mode == "tinker":
        assert made.fake.deployment.sampler_path == PATH


def test_the_forecast_of_an_audit_is_what_it_asks(audit):
    made = audit()
    cost = cost_of(made.context().config, made.context().sequence)
    made.run()
    asked = [made.fake.log.count(path) for path in ("/v1/chat/completions", "/v1/score", "/v1/feedback")]
    looks = 2  # a fixed text is scored before and after: was it trained meanwhile?
    assert [cost.chats, cost.scores, cost.feedback] == [asked[0], asked[1] - looks, asked[2]]


def test_again_an_audit_that_is_complete_asks_nothing(audit):
    made = audit()
    made.run()
    asked = made.fake.log.count("/v1/chat/completions")
    made.run()
    assert made.fake.log.count("/v1/chat/completions") == asked


@pytest.mark.parametrize("mode", ["embedded", "local", "tinker"])
def test_somebody_who_trains_meanwhile_is_seen(audit, mode):
    made = audit(mode)
    adapter = ensure_adapter(made.context(), resuming=True)
    baseline = ensure_baseline(made.context(), adapter, resuming=True)
    state = made.fake.deployment
    state.adapters[made.changes["lora_id"]].updates = 1
    if mode == "tinker":
        state.sampler_path = PATH.replace("40", "41")
        state._checkpoints[state.sampler_path] = Weights(41, FEEDBACK)
    run_training(made.context(), adapter, baseline)
    assert made.steps[0]["trained_meanwhile"]
    assert any("somebody trained the adapter" in note for note in verdict_of(made).notes)
    if mode == "tinker":
        assert state.sampler_path == PATH.replace("40", "41")  # left where their training put it


def test_who_trains_while_the_base_model_is_measured_keeps_the_sampler(audit):
    made = audit("tinker")
    adapter = ensure_adapter(made.context(), resuming=True)
    state, chats = made.fake.deployment, 0

    def trains(request: Request) -> bool:
        nonlocal chats
        chats += 1
        if chats == 3:
            state._checkpoints["tinker://fake/x/step-41"] = Weights(41, FEEDBACK)
            state.sampler_path = "tinker://fake/x/step-41"
        return False

    made.fake.faults.add("/v1/chat/completions", status(500), when=trains)
    with pytest.raises(DeploymentError, match="somebody trains on this deployment"):
        ensure_baseline(made.context(), adapter, resuming=True)
    assert state.sampler_path == "tinker://fake/x/step-41"


def test_the_sampler_is_put_back_where_the_audit_fails(audit):
    made = audit("tinker")
    adapter = ensure_adapter(made.context(), resuming=True)
    made.fake.faults.add("/v1/chat/completions", *[status(400)] * 200)
    with pytest.raises(DeploymentError):
        ensure_baseline(made.context(), adapter, resuming=True)
    assert made.fake.deployment.sampler_path == PATH


def test_an_adapter_that_does_not_exist_or_is_of_another_base_model_is_said(audit):
    made = audit("local")
    with pytest.raises(DeploymentError, match="openclaw/nobody"):
        made.run(lora_id="openclaw/nobody")
    made = audit("embedded")
    with pytest.raises(DeploymentError, match="set base_model=fake/base-model"):
        made.run(base_model="fake/other")


def test_a_sampler_that_serves_no_adapter_cannot_be_audited(audit):
    made = audit("tinker")
    made.fake.deployment.sampler_path = None
    with pytest.raises(DeploymentError, match="cannot be found"):
        made.run()


CHANGING = {
    "init": lambda client: client.init_adapter("eval/x", "Qwen/Qwen3-8B", load_config({}).lora),
    "delete": lambda client: client.delete_adapter("openclaw/assistant-latest"),
    "feedback": lambda client: client.feedback(
        [FeedbackItem(lora_id="openclaw/assistant-latest", prompt="p", response="r", feedback="f")]
    ),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_an_adapter_cannot_be_sent_in_an_audit(fake, name):
    deployment = fake("local")
    config = load_config({"mode": "local", "claas_url": deployment.url, "openclaw_url": None, "lora_id": "a/b"})

    async def send():
        async with ClaasClient(routes_for(config, deployment.url, None)) as client:
            await CHANGING[name](client)

    with pytest.raises(ForbiddenInAudit, match="an audit makes, trains and deletes nothing"):
        asyncio.run(send())
    assert deployment.log.requests == []


def test_an_audited_adapter_is_never_cleaned_away(audit, monkeypatch):
    made = audit()
    made.run()
    adapter = PreferenceFolder(place_at(str(made.folder))).adapter()
    found = SimpleNamespace(complete=True, adapters={"identity": adapter})
    monkeypatch.setattr(clean, "is_running", lambda found: False)
    assert clean.finished_adapters([found], "openclaw/") == []
