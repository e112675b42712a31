"""The loop against a deployment that forgets, goes away, loses the adapter, or counts more than it said."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.errors import IncompleteEvaluation
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.training.feedback import GENERATED_AGAIN
from claas_assets.launch.evaluation import evaluate
from tests.fake_claas.faults import calling, status

FEEDBACK = "/v1/feedback"
CHAT = "/v1/chat/completions"
MODAL = {"mode": "modal", "openclaw_url": None, "base_model": "Qwen/Qwen3-8B"}
TINKER = {"mode": "tinker", "openclaw_url": None, "base_model": "Qwen/Qwen3-8B"}


def lines(made, preference="identity"):
    return [json.loads(line) for line in (made.folder / preference / "steps.jsonl").read_text().splitlines()]


def test_rollouts_that_the_deployment_forgot_are_generated_again_and_that_is_recorded(evaluation):
    made = evaluation()
    made.fake.faults.add(FEEDBACK, *[status(404, "no cached completion")] * GENERATED_AGAIN, nth=2)
    made.run()
    first, second, third = lines(made)
    assert [first["replaced_rollouts"], third["replaced_rollouts"]] == [[], []]
    again = [r["prompt"] for r in second["rollout_batch"]]
    assert [r["prompt"] for r in second["replaced_rollouts"]] == again * GENERATED_AGAIN
    assert made.fake.log.count(FEEDBACK) == 3 + GENERATED_AGAIN
    assert made.fake.updates == {"eval/identity-the-run": 6}


def test_rollouts_forgotten_again_and_again_in_a_step_end_the_run_with_the_step_and_nothing_trained(evaluation):
    made = evaluation()
    made.fake.faults.add(FEEDBACK, *[status(404, "no cached completion")] * (GENERATED_AGAIN + 1), nth=2)
    with pytest.raises(IncompleteEvaluation, match=r"step 2 of 3: .*404.*1 steps are recorded.*output_dir"):
        made.run()
    assert made.fake.updates == {"eval/identity-the-run": 2}


def test_a_deployment_that_comes_back_in_time_is_waited_for_and_both_are_said(evaluation):
    made = evaluation()
    said = []

    def listen(event):
        said.append(event.message)
        if "waiting up to 60 s" in event.message:
            made.fake.restart()  # adapters are kept, the completions are forgotten

    made.fake.faults.add("/v1/score", calling(made.fake.die), nth=25)  # ten a state: of the second step
    evaluate(made.config(deployment_timeout_s=60), listen)
    assert any("waiting up to 60 s" in text for text in said)
    assert any("answers again" in text for text in said)
    assert [step["step"] for step in lines(made)] == [0, 1, 2]
    assert made.fake.updates == {"eval/identity-the-run": 6}
    assert all(not step["eval"]["unmeasured"] or step["step"] == 0 for step in lines(made))


def test_one_that_stays_away_ends_the_run_with_how_to_go_on_and_that_does_at_the_first_missing_step(evaluation):
    made = evaluation()
    made.fake.faults.add(FEEDBACK, calling(made.fake.die), nth=2)
    step = r"step 2 of 3: .*deployment_timeout_s.*1 steps are recorded"
    with pytest.raises(IncompleteEvaluation, match=step) as caught:
        made.run(deployment_timeout_s=0.1)
    assert f"output_dir={made.folder}" in str(caught.value)
    before = (made.folder / "identity" / "steps.jsonl").read_bytes()
    assert len(lines(made)) == 1
    assert RunFolder(made.folder).summary()["identity"].overall == "unfinished"
    made.fake.restart()
    summary = made.run()
    assert (made.folder / "identity" / "steps.jsonl").read_bytes().startswith(before)
    assert [step["step"] for step in lines(made)] == [0, 1, 2]
    assert summary["identity"].overall != "unfinished"
    assert made.fake.updates == {"eval/identity-the-run": 6}


@pytest.mark.parametrize("mode", [{}, MODAL])
def test_an_adapter_that_vanished_is_an_error_that_says_so_and_no_fresh_start(evaluation, mode):
    made = evaluation(mode.get("mode", "embedded"), num_steps=1, **mode)
    assert made.materialize("adapter", "baseline", "training_steps", partition="identity", run_id="the-run").success
    made.fake.deployment.adapters.clear()
    requests = made.fake.log.count("/v1/lora/init")
    with pytest.raises(IncompleteEvaluation, match=r"adapter eval/identity-the-run\S* is no longer on"):
        made.run(num_steps=2)
    assert made.fake.log.count("/v1/lora/init") == requests
    assert len(lines(made)) == 1


def test_one_that_vanishes_while_it_is_measured_is_no_step_of_failed_probes(evaluation):
    made = evaluation()
    fault = status(500, "unknown adapter")
    made.fake.faults.add("/v1/score", *[fault] * 9, nth=11)  # all but one of the first step's ten
    made.fake.faults.add("/v1/score", calling(made.fake.deployment.adapters.clear), nth=21)
    with pytest.raises(IncompleteEvaluation, match="is no longer on"):
        made.run()
    assert lines(made) == [] or [step["step"] for step in lines(made)] == [0]


def test_tinkers_own_count_tells_of_an_interrupted_step_that_trained(evaluation):
    made = evaluation("tinker", **TINKER)
    made.fake.faults.add(FEEDBACK, status(500, "reload failed", applied=True), nth=2)
    summary = made.run()
    assert [step["interrupted"] for step in lines(made)] == [False, True, False]
    assert [step["sub_step_count"] for step in lines(made)] == [2, 0, 2]
    assert [step["updates_counted"] for step in lines(made)] == [2, None, 6]
    assert made.fake.log.count(FEEDBACK) == 3
    assert summary["identity"].interrupted_steps == [1]
    (note,) = [note for note in summary["identity"].notes if "counted" in note]
    assert "counted 6 updates" in note
    assert "record 4" in note
    unknown = lines(made)[1]["eval"]
    assert unknown["preference_compliance"] is None
    assert "one sampler serves" in unknown["unmeasured"]["preference_compliance"]["reason"]


def test_at_temperature_0_a_rollout_is_the_probe_of_its_prompt_asked_once(evaluation):
    made = evaluation("modal", **MODAL, num_steps=2, metrics=["compliance"])
    made.run()
    asked = [(body["messages"][-1]["content"], body["max_tokens"]) for body in made.fake.log.bodies(CHAT)]
    first, second = lines(made)
    probes = len([t for t in first["eval"]["rollouts"] if t["metadata"]["kind"] == "generate"])
    baseline = json.loads((made.folder / "identity" / "baseline.json").read_text())
    # The second step's rollouts are four of the first state's probes; only the first step's were extra.
    assert len(asked) == baseline["requests"] + 2 + probes + second["eval"]["requests"]
    assert first["eval"]["requests"] == probes
    assert [r["response"] for r in second["rollout_batch"]] == [
        t["messages"][-1]["content"] for t in first["eval"]["rollouts"] if t["metadata"]["key"].endswith(("/2", "/3"))
    ]


def test_an_adapter_that_was_restored_from_an_earlier_state_ends_the_run(evaluation):
    made = evaluation(num_steps=2)

    def restore():
        made.fake.deployment.adapters["eval/identity-the-run"].updates = 0

    # As the counter is read after the first step's feedback: the call is reset, and answered when repeated.
    after = {"when": lambda request: made.fake.updates == {"eval/identity-the-run": 2}}
    made.fake.faults.add("/v1/lora/status", calling(restore), **after)
    with pytest.raises(IncompleteEvaluation, match=r"step 1 of 2: .*made 2 updates and counts 0.*output_dir"):
        made.run()
    assert lines_if_any(made) == []


def lines_if_any(made):
    return lines(made) if (made.folder / "identity" / "steps.jsonl").exists() else []
