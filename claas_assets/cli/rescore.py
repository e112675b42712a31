"""`claas-eval rescore RUN`: a run's tables, verdicts, summary and plots again, from its files alone."""

import argparse
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from claas_assets.cli.terminal import TerminalProgress, print_summary
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.run_folder import RunFolder, find_run
from claas_assets.launch.evaluation import rescore

OVERRIDABLE = ("thresholds", "preferences_dir", "plots")


def run(arguments: list[str]) -> int:
    """Raises an `EvaluationError` where the run, a preference file or a threshold cannot be used."""
    parser = argparse.ArgumentParser(
        prog="claas-eval rescore",
        description="Score a run again by today's verifiers and thresholds. Sends nothing to a deployment.",
    )
    parser.add_argument("run", help="a run folder (a path or an fsspec address), or a run id below ./data/evals")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. thresholds.obeyed.pass_at=0.9")
    asked = parser.parse_args(arguments)
    console = Console()
    config = rescoring_config(find_run(asked.run, chosen_config().results_dir), asked.overrides)
    for note in changed_thresholds(config):
        console.print(note, highlight=False)
    with TerminalProgress(config, console) as progress:
        summary = rescore(config, progress)
    print_summary(summary, config.run_folder, console)
    return 0


def rescoring_config(run: RunFolder, overrides: list[str]) -> EvalConfig:
    """Today's configuration for the preferences that `run` holds. Raises `ConfigError`."""
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(overrides))
    wrong = [key for key in given if key not in OVERRIDABLE]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: scoring again does not depend on it. Keys: {', '.join(OVERRIDABLE)}; what a run "
            "was trained and measured with is in its metadata.json"
        )
    today = chosen_config().model_dump(mode="json", exclude_unset=True)
    thresholds = OmegaConf.merge(chosen_config().thresholds.model_dump(), given.pop("thresholds", {}))
    preferences = [folder.name for folder in run.preferences()]
    return load_config(
        {
            **today,
            **given,
            "thresholds": OmegaConf.to_container(thresholds),
            "output_dir": str(run.path),
            "preferences": preferences,
        }
    )


def changed_thresholds(config: EvalConfig) -> list[str]:
    """What is judged by other bounds than when it was run, one line each."""
    now = config.thresholds.model_dump()
    notes = []
    for preference in config.preferences:
        adapter = RunFolder(config.run_folder).preference(preference).adapter()
        then = adapter.config.get("thresholds", {})
        differ = [name for name in now if then.get(name, now[name]) != now[name]]
        changed = [f"{name}: {then[name]} then, {now[name]} now" for name in differ]
        if changed:
            notes.append(f"{preference}: thresholds differ from those it was run with: {'; '.join(changed)}")
    return notes
