"""A sequence of two phases through the graph against the fake: one partition, one folder, the files of any other."""

import json

import claas_assets
from claas_assets.defs.run_folder import ASSET_FILES
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.launch.evaluation import rescore
from tests.graph.conftest import PREFERENCES

FILES = {name for asset, name in ASSET_FILES.items() if asset not in ("summary", "plots", "report")}
COURSE = "name: course\nphases:\n- {preference: identity, steps: 2}\n- {preference: concise, steps: 1}\n"


def begun(evaluation, **config):
    made = evaluation(preferences=["course"], **config)
    (made.root / "preferences" / "course.yaml").write_text(COURSE)
    return made


def lines(made):
    return [json.loads(line) for line in (made.folder / "course" / "steps.jsonl").read_text().splitlines()]


def test_a_sequence_is_one_folder_with_its_matrix_and_asks_nothing_twice(evaluation):
    made = begun(evaluation, plots=True)
    entry = made.run()["course"]
    assert {p.name for p in (made.folder / "course").iterdir() if not p.name.startswith(".")} == FILES
    assert [(line["preference"], line["phase"]) for line in lines(made)] == [
        ("identity", 1), ("identity", 1), ("concise", 2),
    ]  # fmt: skip
    assert len(made.fake.updates) == 1, "one adapter"
    assert [row.phase for row in entry.retention.rows] == [0, 1, 2]
    asked = len(made.fake.log.requests)
    assert made.materialize("scores", "metric_table", "verdict", partition="course", run_id="the-run").success
    assert made.materialize("summary", "plots", "report", run_id="the-run").success
    assert len(made.fake.log.requests) == asked
    again = rescore(made.config())["course"]
    assert again == entry
    frame = claas_assets.load_run(made.folder).retention
    assert list(frame["measured"]) == ["identity", "concise"] * 3
    assert "retention.png" in {picture.name for picture in (made.folder / "plots").iterdir()}
    report = (made.folder / "report.html").read_text()
    assert "course: how often each preference was obeyed" in report
    assert frame.iloc[0]["obeyed"] == entry.retention.rows[0].cells["identity"].value
    public = json.loads((made.folder / "summary.json").read_text())["course"]
    assert all(isinstance(public[key], float) for key in ("logprob_margin_delta", "final_compliance"))


def test_killed_in_its_second_phase_it_goes_on_there(evaluation):
    made = begun(evaluation)
    assert made.materialize(
        "adapter", "baseline", "training_steps", "scores", partition="course", run_id="the-run"
    ).success
    steps = made.folder / "course" / "steps.jsonl"
    first, second, _ = steps.read_bytes().splitlines(keepends=True)
    steps.write_bytes(first + second)
    made.run()
    assert steps.read_bytes().startswith(first + second)
    assert [line["phase"] for line in lines(made)] == [1, 1, 2]
    assert RunFolder(made.folder).summary()["course"].overall != "unfinished"


def test_the_shipped_sequences_are_partitions_and_not_evaluated_by_default(evaluation):
    made = evaluation(preferences_dir=str(PREFERENCES))
    from claas_assets.definitions import build_definitions

    config = made.config()
    partitions = build_definitions(config).get_assets_def("verdict").partitions_def.get_partition_keys()
    assert {"onboarding", "flip"} < set(partitions)
    assert claas_assets.EvalConfig().preferences == ("numbered", "concise", "identity")
