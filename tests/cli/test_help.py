"""The first words of a new user: help, version, a misspelt command."""

from __future__ import annotations

import pytest

from claas_assets import __version__
from claas_assets.cli import main, terminal
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.training.cost import cost_of


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main.main(list(arguments))
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_names_every_command_and_explains_every_key(flag, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run(capsys, flag)
    assert code == 0
    explained = {line.split()[0]: line for line in out.splitlines() if line.startswith(" ") and line.split()}
    assert set(main.SUBCOMMANDS) <= set(explained)
    assert "runs side by side" in explained["compare"]
    fields = EvalConfig.model_fields
    sections = {"lora", "training"}
    assert set(fields) - sections <= set(explained)
    assert {f"training.{key}" for key in type(EvalConfig().training).model_fields} <= set(explained)
    assert "embedded, local, tinker, modal" in explained["mode"]
    assert fields["num_steps"].description in explained["num_steps"]
    assert "(20)" in explained["num_steps"]


def test_version_is_ours(capsys):
    assert run(capsys, "--version") == (0, f"claas-eval {__version__}\n", "")


def test_a_misspelt_command_is_recognized(capsys):
    code, _, error = run(capsys, "comapre", "data/example")
    assert code == 2
    assert "'comapre'" in error
    assert "Did you mean compare?" in error
    assert "Hydra" not in error


def test_a_word_like_no_command_is_told_what_there_is(capsys):
    code, _, error = run(capsys, "identity")
    assert code == 2
    assert "KEY=VALUE" in error
    assert all(name in error for name in main.SUBCOMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "nope"], ["rescore", "nope"], ["compare", "nope", "nope2"], ["view", "nope"],
        ["prune", "nope", "--keep", "1"],
        ["compare", "--sweep", "nope", "--results-dir", "nope"], ["clean", "nope"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_run_that_is_not_there_is_exit_2_in_every_command(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert error.startswith(f"claas-eval {arguments[0]}: ")
    assert "nope" in error


def test_a_dry_run_says_how_much_it_would_ask_and_asks_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(terminal, "show_evaluation", lambda config: pytest.fail("it was evaluated"))
    monkeypatch.chdir(tmp_path)
    keys = ("preferences=[identity,concise]", "num_steps=2", "batch_size=3", "rollout_max_tokens=50")
    code, out, error = run(capsys, *keys, "--dry-run")
    assert (code, error) == (0, "")
    config = EvalConfig(preferences=["identity", "concise"], num_steps=2, batch_size=3, rollout_max_tokens=50)
    costs = [cost_of(config, load_sequence(name, config.preference_folder())) for name in config.preferences]
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(("identity ", "all "))}
    assert rows["identity"][3] == "2"
    assert rows["all"][0] == f"{sum(cost.requests for cost in costs):,}"
    assert rows["all"][4] == f"{sum(cost.most_tokens for cost in costs):,}"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_an_evaluation_would(capsys):
    code, _, error = run(capsys, "--dry-run", "preferences=[nope]")
    assert code == 2
    assert "nope" in error
