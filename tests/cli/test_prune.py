"""`claas-eval prune` and `claas-eval clean`: they list, and delete only with --yes and only what is theirs."""

import pytest

from claas_assets.cli.main import run_subcommand
from claas_assets.evaluation.storage.journal import FileJournal
from tests.synthetic.bare_runs import make_run


def left(results):
    return sorted(path.name for path in results.iterdir())


@pytest.fixture
def results(tmp_path):
    for name, days in (("new", 1), ("middle", 50), ("old", 100)):
        make_run(tmp_path / "evals", name, days=days)
    return tmp_path / "evals"


def test_it_lists_and_deletes_nothing_without_yes(results, capsys):
    assert run_subcommand("prune", ["--keep", "1", "--older-than", "90d", str(results)]) == 0
    said = capsys.readouterr().out
    assert left(results) == ["middle", "new", "old"]
    assert "deletes  old" in said
    assert "keeps    middle" in said
    assert "--yes" in said


def test_with_yes_it_deletes_what_both_bounds_allow(results, capsys):
    assert run_subcommand("prune", ["--keep", "1", "--older-than", "90d", "--yes", str(results)]) == 0
    assert left(results) == ["middle", "new"]
    assert "deleted  old" in capsys.readouterr().out


def test_the_newest_are_kept_however_old(results):
    assert run_subcommand("prune", ["--keep", "2", "--older-than", "0d", "--yes", str(results)]) == 0
    assert left(results) == ["middle", "new"]


def test_pinned_and_running_ones_stay(results, capsys):
    assert run_subcommand("prune", ["--pin", "old", str(results)]) == 0
    with FileJournal(results / "middle" / "identity").lock():
        assert run_subcommand("prune", ["--keep", "0", "--yes", str(results)]) == 0
    assert left(results) == ["middle", "old"]
    said = capsys.readouterr().out
    assert "pinned" in said
    assert "running" in said
    assert run_subcommand("prune", ["--unpin", "old", str(results)]) == 0
    assert run_subcommand("prune", ["--keep", "0", "--yes", str(results)]) == 0
    assert left(results) == []


def test_what_is_no_run_folder_is_said_and_left_alone(results, capsys):
    (results / "notes").mkdir()
    (results / "evil\x1b[2Jname").mkdir()
    assert run_subcommand("prune", ["--keep", "0", "--yes", str(results)]) == 0
    assert left(results) == ["evil\x1b[2Jname", "notes"]
    said = capsys.readouterr().err
    assert "notes is not a run folder" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--keep 50, --older-than 90d"),
        (["--keep", "-1"], "--keep"),
        (["--keep", "some"], "some"),
        (["--older-than", "90"], "90d"),
        (["--pin", "../../etc"], "run id"),
        (["--pin", "a", "--unpin", "b"], "not allowed"),
        (["--wrong"], "--wrong"),
    ],
)
def test_wrong_arguments_are_exit_2_and_nothing_is_deleted(results, capsys, arguments, words):
    assert run_subcommand("prune", [*arguments, "--yes", str(results)]) == 2
    assert words in capsys.readouterr().err
    assert left(results) == ["middle", "new", "old"]


def test_a_results_folder_that_is_not_there_is_exit_2(tmp_path, capsys):
    assert run_subcommand("prune", ["--keep", "1", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


# --- clean ----------------------------------------------------------------------------------------


@pytest.fixture
def deployment(fake, tmp_path):
    """(a fake, its results folder): finished, unfinished, half, running, twice, and adapters of nobody."""
    made, results = fake(), tmp_path / "evals"
    make_run(results, "finished", days=1, url=made.url)
    make_run(results, "unfinished", days=1, url=made.url, steps=1)
    make_run(results, "half", days=1, url=made.url)
    make_run(results, "half", days=1, url=made.url, preference="concise", verdict=False)
    make_run(results, "twice", days=1, url=made.url)
    make_run(results, "copy-of-twice", days=1, url=made.url, lora_id="eval/identity-twice", steps=0)
    make_run(results, "theirs", days=1, url=made.url, lora_id="prod/identity")
    for name in (
        "identity-finished",
        "identity-unfinished",
        "identity-half",
        "concise-half",
        "identity-twice",
        "nobody",
    ):
        made.deployment.init(f"eval/{name}", None)
    made.deployment.init("prod/identity", None)
    return made, results


def test_clean_lists_and_deletes_nothing_without_yes(deployment, capsys):
    made, results = deployment
    before = set(made.deployment.adapters)
    assert run_subcommand("clean", [str(results)]) == 0
    assert set(made.deployment.adapters) == before
    assert "deletes  eval/identity-finished" in capsys.readouterr().out


def test_clean_deletes_the_adapters_of_complete_run_folders_and_no_other(deployment, capsys):
    made, results = deployment
    before = set(made.deployment.adapters)
    assert run_subcommand("clean", ["--yes", str(results)]) == 0
    assert before - set(made.deployment.adapters) == {"eval/identity-finished"}
    assert "deleted  eval/identity-finished" in capsys.readouterr().out
    assert run_subcommand("clean", ["--yes", str(results)]) == 0
    assert "no adapter of a finished evaluation" in capsys.readouterr().out


def test_clean_leaves_a_running_evaluation_alone(deployment):
    made, results = deployment
    with FileJournal(results / "finished" / "identity").lock():
        assert run_subcommand("clean", ["--yes", str(results)]) == 0
    assert "eval/identity-finished" in made.deployment.adapters


def test_clean_takes_another_prefix_and_another_address(deployment, fake):
    made, results = deployment
    moved = fake()
    moved.deployment.init("prod/identity", None)
    assert run_subcommand("clean", ["--yes", "--prefix", "prod", "--claas-url", moved.url, str(results)]) == 0
    assert not moved.deployment.adapters
    assert "prod/identity" in made.deployment.adapters


def test_clean_says_which_deployment_does_not_answer(deployment, capsys):
    made, results = deployment
    made.close()
    assert run_subcommand("clean", ["--yes", str(results)]) == 1
    assert made.url in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--prefix", "../x"], ["--claas-url", "ftp://x"], ["--wrong"]])
def test_clean_refuses_wrong_arguments_with_exit_2(deployment, arguments):
    made, results = deployment
    assert run_subcommand("clean", [*arguments, "--yes", str(results)]) == 2
    assert "eval/identity-finished" in made.deployment.adapters
