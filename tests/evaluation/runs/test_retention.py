"""Which run folders may go, and that nothing else ever does."""

from datetime import timedelta

import pytest

from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.runs.retention import (
    delete_run,
    is_running,
    parse_age,
    read_run,
    read_runs,
    set_pin,
    why_kept,
)
from claas_assets.evaluation.storage.journal import FileJournal
from tests.synthetic.bare_runs import NOW, make_run


def names(runs):
    return [run.path.name for run in runs]


def going(results, keep=None, older_than=None):
    runs, _ = read_runs(results)
    reasons = why_kept(runs, keep=keep, older_than=older_than, now=NOW)
    return [run.path.name for run, reason in zip(runs, reasons, strict=True) if not reason]


def test_runs_are_newest_first_by_their_recorded_time_not_by_their_name(tmp_path):
    make_run(tmp_path, "z-old", days=9)
    make_run(tmp_path, "a-new", days=1)
    assert names(read_runs(tmp_path)[0]) == ["a-new", "z-old"]


@pytest.mark.parametrize(
    ("keep", "days", "expected"),
    [
        (1, None, ["two", "three"]),
        (None, 3, ["three"]),
        (2, 1, ["three"]),
        (1, 3, ["three"]),
        (0, 0, ["one", "two", "three"]),
        (9, 0, []),
    ],
)
def test_both_bounds_must_allow_it(tmp_path, keep, days, expected):
    for name, age in (("one", 1), ("two", 2), ("three", 5)):
        make_run(tmp_path, name, days=age)
    assert going(tmp_path, keep, None if days is None else timedelta(days=days)) == expected


def test_a_pinned_one_stays(tmp_path):
    make_run(tmp_path, "one", days=9)
    set_pin(tmp_path, "one", True)
    assert going(tmp_path, keep=0) == []
    with pytest.raises(RunFolderError, match="pinned"):
        delete_run(read_run(tmp_path / "one"))
    set_pin(tmp_path, "one", False)
    assert going(tmp_path, keep=0) == ["one"]


def test_a_running_one_stays_also_when_it_began_after_it_was_chosen(tmp_path):
    make_run(tmp_path, "one", days=9)
    chosen = read_run(tmp_path / "one")
    with FileJournal(tmp_path / "one" / "identity").lock():
        assert is_running(chosen)
        assert going(tmp_path, keep=0) == []
        with pytest.raises(RunFolderError, match="an evaluation is writing here"):
            delete_run(chosen)
    assert (tmp_path / "one" / "identity" / "metadata.json").exists()
    assert not is_running(chosen)
    delete_run(chosen)
    assert list(tmp_path.iterdir()) == []


def test_one_that_has_only_just_begun_stays(tmp_path):
    """A baseline takes no lock."""
    make_run(tmp_path, "measuring", days=0, steps=0, verdict=False)
    make_run(tmp_path, "finished", days=0)
    assert going(tmp_path, keep=0) == ["finished"]


def test_what_is_no_run_folder_is_refused_with_the_reason(tmp_path):
    make_run(tmp_path / "elsewhere", "real", days=9)
    results = tmp_path / "evals"
    make_run(results, "good", days=1)
    (results / "a-link").symlink_to(tmp_path / "elsewhere" / "real")
    (results / "a-file").write_text("x")
    (results / "a-folder" / "identity").mkdir(parents=True)
    (results / "bad name").mkdir()
    (results / "broken" / "identity").mkdir(parents=True)
    (results / "broken" / "identity" / "metadata.json").write_text("{")
    (results / "linked-record" / "identity").mkdir(parents=True)
    (results / "linked-record" / "identity" / "metadata.json").symlink_to(
        tmp_path / "elsewhere" / "real" / "identity" / "metadata.json"
    )
    runs, refused = read_runs(results)
    assert names(runs) == ["good"]
    assert {path.name: reason.split(":")[0].split(" ")[-1] for path, reason in refused.items()}.keys() == {
        "a-link", "a-file", "a-folder", "bad name", "broken", "linked-record",
    }  # fmt: skip
    assert "link" in refused[results / "a-link"]
    with pytest.raises(RunFolderError, match="is not a folder"):
        read_runs(tmp_path / "nowhere")


def test_deleting_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("x")
    results = tmp_path / "evals"
    folder = make_run(results, "one", days=9)
    (folder / "plots").symlink_to(outside)
    (folder / "identity" / "more").symlink_to(outside)
    delete_run(read_run(folder))
    assert (outside / "precious.txt").read_text() == "x"
    assert list(results.iterdir()) == []


def test_a_folder_that_was_replaced_by_a_link_is_not_deleted(tmp_path):
    folder = make_run(tmp_path / "evals", "one", days=9)
    chosen = read_run(folder)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(RunFolderError, match="link"):
        delete_run(chosen)
    assert (tmp_path / "moved" / "identity" / "metadata.json").exists()


def test_a_lock_that_is_a_link_is_not_opened(tmp_path):
    folder = make_run(tmp_path / "evals", "one", days=9)
    target = tmp_path / "target"
    target.write_text("kept")
    (folder / "identity" / ".lock").symlink_to(target)
    assert going(tmp_path / "evals", keep=0) == []
    assert target.read_text() == "kept"


@pytest.mark.parametrize(
    ("made", "complete"),
    [
        ({}, True),
        ({"steps": 1}, False),
        ({"verdict": False}, False),
        ({"overall": "unfinished"}, False),
        ({"recorded": 1}, False),
    ],
)
def test_complete_is_all_steps_and_a_verdict_for_them(tmp_path, made, complete):
    assert read_run(make_run(tmp_path, "one", days=1, **made)).complete is complete


def test_sizes_are_of_what_is_there_without_links(tmp_path):
    folder = make_run(tmp_path, "one", days=1)
    before = read_run(folder).size_bytes
    (folder / "more.bin").write_bytes(bytes(1000))
    assert read_run(folder).size_bytes == before + 1000


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("90d", 2160), ("2w", 336), ("0d", 0)])
def test_ages(text, hours):
    assert parse_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["90", "d", "-3d", "3 d", "1y", "٣d"])
def test_an_age_that_is_none_says_how_one_looks(text):
    with pytest.raises(ConfigError, match="90d"):
        parse_age(text)


def test_a_creation_time_without_a_zone_is_utc(tmp_path):
    folder = make_run(tmp_path, "one", days=1)
    file = folder / "identity" / "metadata.json"
    file.write_text(file.read_text().replace("+00:00", ""))
    assert read_run(folder).created == NOW - timedelta(days=1)
