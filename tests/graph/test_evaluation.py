"""The whole evaluation against the fake deployment: files, fields, resume, and no request below training."""

import csv
import json

import dagster as dg
import pytest

from claas_assets.defs.run_folder import ASSET_FILES
from claas_assets.evaluation.errors import DeploymentUnreachable, IncompleteEvaluation, PreferenceError
from claas_assets.evaluation.storage.records import METRIC_COLUMNS
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.launch.evaluation import exit_code_of
from tests.fake_claas.model import Temper

STRICT = {  # the fields that existing readers of CLaaS results know: no other key may stand there
    "logprob_margin": {"positive_logprob", "negative_logprob", "margin", "margin_delta_from_baseline"},
    "general": {"coding_correct", "coding_has_docstring", "ifeval_pass_rate", "general_score"},
    "collapse": {
        "mean_entropy", "mean_logprob", "entropy_ratio_to_baseline", "self_rouge_l", "mean_logprob_drift", "alert",
    },
}  # fmt: skip
STEP_FIELDS = {
    "preference", "step", "timestamp", "feedback_given", "sdpo_metrics", "eval", "prompt_used", "response_text",
    "timing_s", "sub_step_count", "rollout_batch",
}  # fmt: skip
RESULTS = ("scores", "metric_table", "collapse_snapshots", "verdict")


def lines(evaluation, preference="identity"):
    text = (evaluation.folder / preference / "steps.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def requests_since(evaluation):
    return [request.path for request in evaluation.fake.log.requests[evaluation.requests_before :]]


def test_the_file_tree_and_the_fields(finished):
    names = {str(p.relative_to(finished.folder)) for p in finished.folder.rglob("*") if p.is_file()}
    files = {f"identity/{ASSET_FILES[name]}" for name in ("adapter", "baseline", "training_steps", *RESULTS)}
    assert {name for name in names if not name.startswith(("plots/", "identity/."))} == {
        *files,
        "summary.json",
        "report.html",
    }
    assert any(name.startswith("plots/") for name in names)
    steps = lines(finished)
    assert [step["step"] for step in steps] == [0, 1, 2]
    for step in steps:
        assert set(step) >= STEP_FIELDS
        assert all(set(step["eval"][part]) == keys for part, keys in STRICT.items() if step["eval"][part])
        assert [len(step["rollout_batch"]), step["sub_step_count"]] == [2, 2]
        assert step["engine"]["steps_per_batch_applied"] == 2
        assert all(message["content"] is not None for t in step["eval"]["rollouts"] for message in t["messages"])
    with open(finished.folder / "identity" / "metrics.csv") as file:
        assert tuple(next(csv.reader(file))) == METRIC_COLUMNS


def test_updates_applied_and_updates_recorded_are_equal(finished):
    recorded = sum(step["sub_step_count"] for step in lines(finished))
    assert finished.updates_before == {"eval/identity-the-run": recorded} == {"eval/identity-the-run": 6}


def test_each_step_is_an_observation_that_charts(finished):
    with dg.DagsterInstance.get() as instance:
        filters = dg.AssetRecordsFilter(asset_key=dg.AssetKey("training_steps"))
        records = instance.fetch_observations(filters, limit=10).records
    found = [record.asset_observation for record in reversed(records)]
    assert [observation.metadata["step"].value for observation in found] == [0, 1, 2]
    assert {observation.partition for observation in found} == {"identity"}
    assert all(isinstance(observation.metadata["obeyed_on_trained_prompts"].value, float) for observation in found)


def test_it_learns_and_the_summary_says_so(finished):
    entry = finished.summary["identity"]
    baseline = PreferenceFolder(finished.folder / "identity").baseline()
    assert baseline.preference_compliance < 0.2
    assert entry.final_compliance > 0.8
    assert entry.logprob_margin_delta > 1
    assert entry.criteria["obeyed"].evidence == "shown"
    assert entry.overall == "pass"


def test_rollouts_are_sent_after_the_probes_of_their_state_and_feedback_follows_at_once(finished):
    requests = [r for r in finished.fake.log.requests if r.path in ("/v1/chat/completions", "/v1/feedback")]
    feedback = [i for i, request in enumerate(requests) if request.path == "/v1/feedback"]
    assert len(feedback) == 3
    for before, at in zip([-1, *feedback], feedback, strict=False):
        state = requests[before + 1 : at]
        answers = [item["prompt"] for item in requests[at].body["requests"]]
        rollouts = [i for i, request in enumerate(state) if request.body["messages"][-1]["content"] in answers
                    and request.body["max_tokens"] == finished.config().rollout_max_tokens]  # fmt: skip
        assert len(rollouts) == len(answers) == 2
        # Those in flight at the same time may arrive in any order; the deployment remembers 100 completions.
        assert len(state) - rollouts[0] <= 2 + finished.config().max_concurrency


def test_transcripts_hold_all_that_scoring_needs(finished):
    baseline = PreferenceFolder(finished.folder / "identity").baseline()
    greedy = next(t for t in baseline.rollouts if t.key == "collapse/ocean/greedy")
    assert len(greedy.metadata.logprobs) == len(greedy.metadata.entropies) == greedy.metadata.completion_tokens
    scored = next(t for t in baseline.rollouts if t.metadata.kind == "score")
    assert scored.metadata.logprob_sum == pytest.approx(sum(scored.metadata.logprobs), abs=1e-3)


def test_materializing_results_again_sends_no_request_and_gives_equal_tables_from_transcripts_alone(finished):
    folder = finished.folder / "identity"
    before = {name: (folder / ASSET_FILES[name]).read_bytes() for name in RESULTS}
    summary = (finished.folder / "summary.json").read_bytes()
    pictures = {p.name: p.stat().st_mtime_ns for p in (finished.folder / "plots").iterdir()}
    steps = lines(finished)
    for step in steps:  # the inline numbers are deleted, the transcripts stay
        kept = {key: step["eval"][key] for key in ("rollouts", "snapshot", "versions", "requests", "duration_s")}
        step["eval"] = kept
    (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    for name in RESULTS:
        (folder / ASSET_FILES[name]).unlink()
    (finished.folder / "summary.json").unlink()
    nowhere = {"claas_url": "http://127.0.0.1:9"}  # the network is cut

    assert finished.materialize(*RESULTS, partition="identity", **nowhere).success
    assert finished.materialize("summary", "plots", **nowhere).success
    assert {name: (folder / ASSET_FILES[name]).read_bytes() for name in RESULTS} == before
    assert (finished.folder / "summary.json").read_bytes() == summary
    again = {p.name: p.stat().st_mtime_ns for p in (finished.folder / "plots").iterdir()}
    assert again.keys() == pictures.keys()
    assert all(again[name] > pictures[name] for name in again), "a picture was not drawn again"
    assert requests_since(finished) == []


def test_a_changed_threshold_shows_up_in_the_verdict_without_a_request(finished):
    strict = {"logprob_margin": {"pass_at": 500.0, "fail_at": 400.0}}
    assert finished.materialize("verdict", partition="identity", thresholds=strict).success
    verdict = PreferenceFolder(finished.folder / "identity").verdict()
    assert verdict.criteria["logprob_margin"].grade == "fail"
    assert requests_since(finished) == []


def test_a_changed_verifier_shows_up_in_the_table_without_a_request(finished):
    file = finished.root / "preferences" / "identity.yaml"
    file.write_text(file.read_text().replace("  name: kuro\n", "  name: zora\n", 1))
    assert finished.materialize(*RESULTS, partition="identity").success
    verdict = PreferenceFolder(finished.folder / "identity").verdict()
    assert verdict.final_compliance == 0.0
    assert requests_since(finished) == []


def test_the_same_output_dir_again_changes_nothing(finished):
    before = {p: p.read_bytes() for p in finished.folder.rglob("*") if p.is_file() and p.suffix != ".png"}
    finished.run()
    assert not {"/v1/feedback", "/v1/lora/init", "/v1/score"} & set(requests_since(finished))
    assert {p: p.read_bytes() for p in before} == before


def test_more_steps_in_the_same_folder_go_on_with_the_same_adapter(evaluation):
    made = evaluation(num_steps=1)
    made.run()
    old = (made.folder / "identity" / "steps.jsonl").read_bytes()
    made.run(num_steps=3)
    assert (made.folder / "identity" / "steps.jsonl").read_bytes().startswith(old)
    assert [step["step"] for step in lines(made)] == [0, 1, 2]
    assert made.fake.updates == {"eval/identity-the-run": 6}


def test_another_training_in_the_same_folder_is_refused_with_the_difference(finished):
    with pytest.raises(IncompleteEvaluation, match=r"training\.alpha: 0\.0 then, 0\.5 now"):
        finished.run(training={"steps_per_batch": 2, "alpha": 0.5})
    assert finished.fake.updates == finished.updates_before


def test_adapter_and_baseline_cannot_spoil_a_trained_run(finished):
    folder = finished.folder / "identity"
    before = {name: (folder / name).read_bytes() for name in ("metadata.json", "baseline.json", "steps.jsonl")}
    assert finished.materialize("adapter", partition="identity", run_id="the-run").success
    refused = finished.materialize("baseline", partition="identity", run_id="the-run")
    assert not refused.success
    assert any("has been trained here" in str(event) for event in refused.all_events)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert requests_since(finished) == []


def test_a_broken_preference_file_fails_its_own_partition_not_the_code_location(evaluation):
    made = evaluation(num_steps=0)
    (made.root / "preferences" / "broken.yaml").write_text("name: broken\nfeedback_string: 3\n")
    failed = made.materialize("adapter", partition="broken")
    assert not failed.success
    assert any("broken.yaml" in str(event) and "verifier" in str(event) for event in failed.all_events)
    assert made.materialize("adapter", partition="identity").success
    with pytest.raises(PreferenceError, match=r"broken\.yaml"):
        made.run(preferences=["broken"])


def test_num_steps_0_measures_only_and_fail_on_makes_such_a_verdict_exit_3(evaluation):
    made = evaluation(num_steps=0)
    summary = made.run()
    assert exit_code_of(summary, made.config()) == 0
    assert exit_code_of(summary, made.config(fail_on="inconclusive")) == 3
    assert exit_code_of(summary, made.config(fail_on="fail")) == 0
    assert made.fake.log.count("/v1/feedback") == 0
    assert summary["identity"].overall == "inconclusive"
    assert PreferenceFolder(made.folder / "identity").steps() == []


def test_a_deployment_that_does_not_answer_is_said_before_any_run(evaluation):
    made = evaluation()
    made.fake.close()
    with pytest.raises(DeploymentUnreachable, match=made.fake.url):
        made.run()
    assert not made.folder.exists()


def test_tinker_measures_the_baseline_on_the_base_model_not_on_the_preference_before(evaluation, monkeypatch):
    made = evaluation(
        "tinker", mode="tinker", openclaw_url=None, preferences=["identity", "concise"],
        metrics=["compliance", "collapse"], fake_settings={"temper": Temper(full_after=2)}, num_steps=1,
        base_model="Qwen/Qwen3-8B", snapshot_size="quick",
    )  # fmt: skip
    made.run()
    refreshed = [body["model_path"] for body in made.fake.log.bodies("/v1/sampler/refresh")]
    assert refreshed.count(None) >= 2
    baseline = PreferenceFolder(made.folder / "concise").baseline()
    assert "kuro" not in " ".join(t.answer or "" for t in baseline.rollouts if t.metadata.kind == "generate").lower()
    assert baseline.collapse.mean_entropy is None
    assert baseline.unmeasured["collapse.mean_entropy"].kind == "unavailable"
    assert [step["sub_step_count"] for step in lines(made, "concise")] == [2]


def test_the_older_feedback_generation_makes_steps_per_batch_updates_in_as_many_calls(evaluation):
    made = evaluation(
        "modal", mode="modal", openclaw_url=None, base_model="Qwen/Qwen3-8B", num_steps=1,
        fake_settings={"generation": "old"}, training={"steps_per_batch": 3, "feedback_repetitions": 2},
    )  # fmt: skip
    made.run()
    assert made.fake.updates == {"eval/identity-the-run-init": 3}
    assert lines(made)[0]["sub_step_count"] == 3
    assert made.fake.log.count("/v1/feedback") == 3
    sent = made.fake.log.bodies("/v1/feedback")[-1]["requests"][0]
    assert sent["feedback"].count("Your name is Kuro") == 2


def test_through_a_gateway_chat_goes_there_and_the_token_reaches_no_file(evaluation, gateway, monkeypatch):
    made = evaluation("tinker", mode="tinker", base_model="Qwen/Qwen3-8B", num_steps=1)
    door = gateway(made.fake, token="s3cr3t-gateway-token")
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "s3cr3t-gateway-token")
    made.run(openclaw_url=door.url)
    assert lines(made)
    files = [p for p in made.root.rglob("*") if p.is_file()]
    assert not [p for p in files if b"s3cr3t-gateway-token" in p.read_bytes()]
