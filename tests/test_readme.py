"""README and docs say what the code and the example say today."""

from __future__ import annotations

import re
import runpy
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from claas_assets.cli.main import SUBCOMMANDS
from claas_assets.cli.multirun import Sweep
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics import METRIC_NAMES
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.records import ScoresRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from claas_assets.evaluation.verdict.ruling import judge

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "data" / "example"
OLD_RUN = ROOT / "tests" / "data" / "example"
"""The example of version 0.1.0, scored again by the rules of today."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line in a bash block, without its comment."""
    return [
        (page.name, line)
        for page in PAGES
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    ]


def test_the_readme_is_short():
    assert len(README.encode()) <= 9_000


def test_the_example_in_the_readme_is_that_of_the_files():
    assert runpy.run_path(str(ROOT / "docs" / "example.py"))["example"]() in README


def test_every_configuration_key_and_metric_is_documented():
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    metrics = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [key for key in EvalConfig.model_fields if f"`{key}" not in configuration] == []
    assert [name for name in METRIC_NAMES if f"| `{name}` |" not in metrics] == []


def test_every_link_of_a_page_leads_somewhere():
    broken = [
        f"{page.name}: {target}"
        for page in [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "deploy" / "README.md"]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md" and f"({p.name})" not in index] == []


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_of_the_docs_exists(page, line):
    for part in line.split(" && "):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            check(words)


def check(words: list[str]) -> None:
    program, arguments = Path(words[0]).name or words[0], words[1:]
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert arguments[0] in targets
    elif program == "claas-eval":
        check_evaluation(arguments)
    elif program in ("python", "python3") and arguments[:1] == ["-m"]:
        assert find_spec(arguments[1]) is not None or arguments[1] in ("venv", "pytest")
    elif program == "dagster":
        assert arguments[:2] == ["asset", "materialize"] or arguments[0] in ("dev", "instance")
    elif program == "dg":
        assert arguments[:2] == ["launch", "--assets"] or arguments[0] in ("dev", "check", "list")
    else:
        assert program in KNOWN, f"nothing shows that `{' '.join(words)}` works"


KNOWN = {"pip", "mkdir", "export", "ruff", "mypy", "pytest", ".", "source", "cd", "docker", "helm", "kubectl",
         "openclaw"}  # fmt: skip


def check_evaluation(arguments: list[str]) -> None:
    """A subcommand that exists, or overrides that compose to a valid configuration."""
    if arguments and arguments[0] in SUBCOMMANDS:
        return
    overrides = [word for word in arguments if not word.startswith("-") and "=" in word]
    if "--config-dir" in arguments:
        return
    single = [word.split(",")[0] if "--multirun" in arguments else word for word in overrides]
    sweep = Sweep()
    sweep.register_resolvers()
    with initialize_config_module("claas_assets.configs"):
        sweep.config_of(compose("base", overrides=single, return_hydra_config=False))


@pytest.mark.parametrize(
    ("run", "name"), [(run, name) for run in (EXAMPLE, OLD_RUN) for name in sorted(RunFolder(run).summary())]
)
def test_the_example_scored_again_gives_the_verdict_the_table_and_the_series_that_are_committed(run, name, tmp_path):
    folder = PreferenceFolder(run / name)
    scores = results.score(folder.training(), load_sequence(name, ROOT / "preferences"))
    read_again = ScoresRecord.model_validate_json(scores.model_dump_json())  # as scores.json holds them
    assert judge(read_again, EvalConfig().thresholds) == folder.verdict()
    assert results.collapse_record(read_again) == folder.collapse()
    written = PreferenceFolder(tmp_path / name)
    written.write_metric_table(results.metric_table(read_again))
    assert (written.path / "metrics.csv").read_bytes() == (folder.path / "metrics.csv").read_bytes()
