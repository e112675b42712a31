"""claas-eval compare: what it prints, what it refuses, and that model output cannot reach the terminal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from claas_assets.cli.comparison_tables import show
from claas_assets.cli.main import run_subcommand
from claas_assets.evaluation.comparison.comparison import Comparison
from claas_assets.evaluation.comparison.sweeps import SweepComparison, group_seeds
from claas_assets.evaluation.runs.frames import load_runs
from claas_assets.evaluation.terminal_text import one_line
from tests.synthetic.runs import made_run, passing, write_run

EXAMPLE = str(Path(__file__).parents[1] / "data" / "example")
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31mI am \u202ean assistant.\r\n[bold red]x[/bold red]\x1b[0m"


@pytest.fixture
def runs(tmp_path):
    """Two runs, `a` and `b`; `b` answers with escape sequences and differs in its learning rate."""
    write_run(tmp_path, made_run("a", passing(5)))
    folder = write_run(tmp_path, made_run("b", passing(12), config={"training": {"learning_rate": 1e-3}}))
    steps = folder / "identity" / "steps.jsonl"
    steps.write_text(steps.read_text().replace("I am Kuro.", json.dumps(f"{HOSTILE} Kuro")[1:-1]))
    return tmp_path


@pytest.fixture
def compare(runs, capsys):
    """`compare("a", "b", "--json")` → (exit code, standard output, standard error)."""

    def command(*arguments):
        code = run_subcommand("compare", [*arguments, "--results-dir", str(runs)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_two_runs_side_by_side(compare):
    code, out, err = compare("a", "b")
    assert (code, err) == (0, "")
    for words in ("training.learning_rate", "0.001", "b against a", "7 of 20 held-out prompts flipped", "0.6", "+0.35"):
        assert words in out
    assert "marginal" in out


def test_model_output_reaches_the_terminal_as_text(compare):
    _, out, _ = compare("a", "b")
    assert "[bold red]x" in " ".join(out.split())
    assert [c for c in out if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")] == []


def test_json_is_the_record_and_holds_no_control_character(compare):
    code, out, _ = compare("a", "b", "--json")
    assert code == 0
    result = Comparison.model_validate_json(out)
    assert [column.run_id for column in result.runs] == ["a", "b"]
    flip = result.preferences[0].pairs[0].flips[0]
    assert flip.run.text.startswith("\x1b[2J")  # whole, for a program
    assert out.isascii()
    assert "\x1b" not in out


def test_csv_is_tidy(compare):
    _, out, _ = compare("a", "b", "--csv")
    rows = {(row["criterion"], row["run_id"]): row for row in csv.DictReader(io.StringIO(out))}
    assert float(rows["obeyed", "b"]["value"]) == 0.6
    assert float(rows["obeyed", "b"]["difference"]) == pytest.approx(0.35)
    assert (rows["obeyed", "b"]["reference"], rows["obeyed", "a"]["reference"]) == ("a", "")


def test_a_folder_is_a_run_too_and_one_run_is_shown_alone(compare):
    code, out, _ = compare(EXAMPLE, "--preference", "concise")
    assert code == 0
    assert "obeyed" in out
    assert "identity" not in out
    assert "against" not in out


def test_incomparable_runs_are_marked_and_their_numbers_shown(compare, runs):
    write_run(runs, made_run("c", passing(20), config={"base_model": "another/model"}))
    code, out, _ = compare("a", "c")
    assert code == 0
    assert "must not be compared: base models differ" in out
    assert "flipped" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--sweep ID"),
        (["a", "--sweep", "s"], 2, "name runs"),
        (["nowhere"], 2, "no run 'nowhere'.*a, b"),
        (["--sweep", "nothing"], 2, "no run below"),
        (["a", "--preference", "rude"], 2, "rude.*identity"),
        (["a", "--figure", "x.png"], 2, "--seeds"),
        (["--sweep", "s", "--figure", "x.exe"], 2, r"\.png or \.svg"),
        (["a", "--nonsense"], 2, "--nonsense"),
        (["a", "--json", "--csv"], 2, "not allowed"),
        (["--help"], 0, ""),
    ],
)
def test_exit_codes(compare, arguments, code, words):
    import re

    found, _, err = compare(*arguments)
    assert found == code
    assert re.search(words, err, re.DOTALL), err
    assert "Traceback" not in err


def test_a_broken_run_is_exit_1_and_names_its_file(compare, runs):
    (runs / "b" / "identity" / "baseline.json").write_text("{")
    code, _, err = compare("a", "b")
    assert code == 1
    assert "baseline.json" in err


# --- sweeps -----------------------------------------------------------------------------------------


@pytest.fixture
def sweep(runs):
    """Two learning rates; the first with three seeds, the second with two."""
    for number, (rate, seed, passed) in enumerate(
        [(1e-4, 1, 6), (1e-4, 2, 8), (1e-4, 3, 7), (2e-4, 1, 12), (2e-4, 2, 16)]
    ):
        config = {"sweep_id": "s", "seed": seed, "training": {"learning_rate": rate}}
        write_run(runs, made_run(f"s-{number:02d}", passing(passed), config=config))
    return runs


def test_a_sweep_is_shown_by_recipe_with_a_claim_from_three_seeds_on(compare, sweep):
    code, out, err = compare("--sweep", "s")
    assert (code, err) == (0, "")
    assert "swept training.learning_rate" in out
    assert "0.35 [0.23, 0.47]" in out
    assert "2 seeds: no claim" in out


def test_at_80_columns_no_two_recipes_have_one_heading_and_every_number_is_there(runs):
    for number, rate in enumerate((1e-4, 1.5e-4, 2e-4, 3e-4)):
        config = {"sweep_id": "w", "seed": 1, "training": {"learning_rate": rate, "alpha": 0.25 * number}}
        write_run(runs, made_run(f"w-{number:02d}", passing(6 + number), config=config))
    sweep = group_seeds(load_runs(runs, sweep_id="w").runs, "w")
    console = Console(width=80, record=True, file=io.StringIO())
    show(sweep, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for rate in ("0.0001", "0.00015", "0.0002", "0.0003"):
        assert text.count(f"learning_rate={rate} ") == 1, text
    assert all(f"alpha={alpha}" in text for alpha in ("0.25", "0.5", "0.75"))
    assert "…" not in text


def test_a_sweep_as_json_and_csv(compare, sweep):
    _, out, _ = compare("--sweep", "s", "--json")
    result = SweepComparison.model_validate_json(out)
    assert [len(recipe.runs) for recipe in result.preferences[0].recipes] == [3, 2]
    _, out, _ = compare("--sweep", "s", "--csv")
    rows = [row for row in csv.DictReader(io.StringIO(out)) if row["criterion"] == "obeyed"]
    assert [(row["config.training.learning_rate"], row["seed"], row["value"]) for row in rows][-1] == (
        "0.0002", "2", "0.8",
    )  # fmt: skip
    assert {row["lower"] != "" for row in rows[:3]} == {True}
    assert {row["lower"] for row in rows[3:]} == {""}


def test_a_broken_run_of_a_results_folder_is_said_and_the_sweep_shown(compare, sweep):
    (sweep / "s-04" / "identity" / "metadata.json").write_text("{")
    code, out, err = compare("--sweep", "s", "--json")
    assert code == 0
    assert "run s-04 is left out" in err
    assert list(json.loads(out)["broken"]) == ["s-04"]


def test_the_figure_stands_next_to_the_runs_or_where_it_was_asked_for(compare, sweep, tmp_path):
    code, _, err = compare("--sweep", "s", "--figure", "dose.svg")
    assert (code, (sweep / "dose.svg").read_bytes()[:5]) == (0, b"<?xml")
    assert str(sweep / "dose.svg") in err
    code, _, _ = compare("s-00", "s-03", "--seeds", "--figure", str(tmp_path / "deep" / "dose.png"))
    assert (code, (tmp_path / "deep" / "dose.png").read_bytes()[1:4]) == (0, b"PNG")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, "I am an assistant. [bold red]x[/bold red]"),
        ("a\x1b[38;5;1mb\x1b(Bc\x1b", "abc"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x90payload\x9cok", "ok"),
        ("tab\tline\nend\x00\x7f", "tab line end"),
        ("\ud800 half", "� half"),
        ("🎉 ümlaut 日本", "🎉 ümlaut 日本"),
    ],
)
def test_plain_text(text, shown):
    assert one_line(text) == shown
