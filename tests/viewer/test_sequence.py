"""The page of a sequence: its matrix, the answers of each preference, and no answer of one beside another's."""

from __future__ import annotations

from fastapi.testclient import TestClient

from claas_assets.evaluation.comparison.comparison import compare
from claas_assets.evaluation.figures import figures
from claas_assets.evaluation.runs.catalog import run_overview
from claas_assets.evaluation.runs.frames import load_run, load_runs
from claas_assets.evaluation.runs.retention import read_run
from claas_assets.evaluation.storage.records import ScoresRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.viewer.before_after import prompt_sets
from claas_assets.viewer.loading import load_preference
from claas_assets.viewer.report import render_report
from tests.synthetic.sequences import NAMES, Story, write_story
from tests.viewer.conftest import page_at


def test_the_pages_of_a_sequence_show_its_matrix(client: TestClient, results):
    run = write_story(results, "a-course", Story(0.5, 0.0))
    for path in (f"/runs/{run.name}", f"/runs/{run.name}/course"):
        page = page_at(client, path)
        assert [table for table in page.all("table") if "retention" in (table.get("class") or "")]
        assert "phase 2: second" in page.text
        shares = [cell["class"] for cell in page.all("td") if "share" in (cell.get("class") or "")]
        assert shares[6] == "num share s2", "half of the first is lost after the second phase"
        assert sum("own" in share.split() for share in shares) == 3
    assert "how often each preference was obeyed" in render_report(run)


def test_before_and_after_pair_the_answers_of_one_preference(results):
    run = write_story(results, "a-course", Story(0.5, 0.0))
    sets = prompt_sets(load_preference(run / "course"))
    assert {prompts.name.split("@")[1] for prompts in sets} == set(NAMES)
    for prompts in sets:
        name = prompts.name.split("@")[1]
        for pair in prompts.pairs:
            assert pair.before is not None
            assert pair.after is not None, "asked in the last full state too"
            if not prompts.name.startswith("over_application"):
                assert pair.prompt.endswith(f"Of {name}.")


def test_a_whole_answer_of_any_preference_opens(client: TestClient, results):
    write_story(results, "a-course", Story(0.5, 0.0))
    for name in NAMES:
        found = client.get(
            "/runs/a-course/course/states/baseline/whole", params={"key": f"compliance/heldout_prompts/3@{name}"}
        )
        assert found.status_code == 200
        assert "assistant" in found.text


def test_the_curves_are_of_each_preference_and_the_matrix_is_a_picture(results):
    folder = PreferenceFolder(write_story(results, "a-course", Story(0.5, 0.0)) / "course")
    scores = ScoresRecord.of(folder.adapter(), folder.baseline(), folder.steps())
    drawn = figures({"course": scores}, {"course": folder.verdict()})
    assert "retention" in drawn
    titles = [axes.get_title(loc="left") for axes in drawn["learning_curves"].axes]
    assert [title for title in titles if title] == [f"course: {name}" for name in NAMES]


def test_a_sequence_of_fewer_steps_than_num_steps_is_complete(results):
    run = write_story(results, "a-course", Story(0.5, 0.0))
    overview = run_overview(run)
    assert overview is not None
    assert (overview.state, overview.preferences[0].words) == ("complete", "6 of 6 steps")
    assert read_run(run).complete, "and may be pruned"


def test_two_sequences_stand_side_by_side_and_are_not_paired(results):
    runs = [load_run(write_story(results, name, Story(loss, 0.0))) for name, loss in (("kept", 0.0), ("lost", 0.5))]
    (course,) = compare(runs).preferences
    assert course.outcomes[1] == "forgotten"
    rows = {row.criterion: [cell.grade for cell in row.cells] for row in course.rows}
    assert rows["retained.first"] == ["pass", "fail"]
    assert course.pairs == []
    assert "--sweep" in course.scored
    frame = load_runs(results).retention
    assert set(frame["run_id"]) == {"kept", "lost"}
