"""A configuration → Dagster runs on the user's instance. The command line and `run_harness` meet here."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.errors import ConfigError, IncompleteEvaluation
from claas_assets.evaluation.preferences.sequence import controlled, load_sequence
from claas_assets.evaluation.progress import Event, Reporter, silent
from claas_assets.evaluation.storage.addresses import is_address, protocol_of
from claas_assets.evaluation.storage.records import Summary
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.storage.stores import check_writable

HOME_VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = Path("data") / "dagster_home"
LEAST_FREE_BYTES = 8 * 2**20
"""Of the disk of Dagster's home: a new one has 1 MiB, and an evaluation adds about as much."""
DEFAULT_SETTINGS = "telemetry:\n  enabled: false\n"


async def run_harness(config: EvalConfig, listener: Reporter = silent) -> Summary:
    """Evaluate `config` and return the summary: `{preference: VerdictRecord}`; `listener` hears how far it is.

    The preferences run in processes of their own. Raises an `EvaluationError`; what finished is in the run folder.
    """
    return await asyncio.to_thread(evaluate, config, listener)


def evaluate(config: EvalConfig, listener: Reporter = silent) -> Summary:
    """Evaluate every preference, `parallel_preferences` side by side, then write the summary and the plots.

    A preference that fails leaves the others whole: it is reported as `IncompleteEvaluation` at the end.
    The same `output_dir` again resumes. Raises `ConfigError` and `PreferenceError` before anything is sent.
    """
    check_before_sending(config)
    for name in config.preferences:
        for limit in load_sequence(name, config.preference_folder()).limits:
            listener(Event(name, "note", limit))
    find_home(listener)
    failures = _run(config, "evaluate", listener)
    if failures:
        raise IncompleteEvaluation(_how_to_go_on(config, failures))
    return RunFolder(config.run_folder).summary()


def rescore(config: EvalConfig, listener: Reporter = silent) -> Summary:
    """Tables, verdicts, summary and plots of the run folder `config.output_dir`, from its files alone.

    Raises `PreferenceError`, `RunFolderError`, and `IncompleteEvaluation` naming what could not be scored.
    """
    for name in config.preferences:
        load_sequence(name, config.preference_folder())
    check_place(config)
    find_home(listener)
    failures = _run(config, "rescore", listener)
    if failures:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
        raise IncompleteEvaluation(f"not scored again:\n{reasons}")
    return RunFolder(config.run_folder).summary()


def check_before_sending(config: EvalConfig) -> None:
    """Everything that can be wrong with a configuration and be seen without a deployment."""
    folder = config.preference_folder()
    for name in config.preferences:
        sequence = load_sequence(name, folder)
        controlled(sequence, config.control, folder)
        if any(preference.asks_a_judge for preference in sequence.preferences.values()):
            from claas_assets.evaluation.judge import judge_of_environment  # httpx: for few preferences

            judge_of_environment()
        if config.lora_id is not None and not sequence.is_alone:
            raise ConfigError(
                f"lora_id={config.lora_id} is an audit, which trains nothing, and {name} is a sequence: audit its "
                f"preferences, 'preferences=[{','.join(sequence.preferences)}]'"
            )
    gateway_token(config)
    if config.claas_url is None and find_spec("torch") is None:
        raise ConfigError(
            "claas_url is null, so the embedded stack would be started, and that is not installed: "
            "pip install 'claas-assets[embedded]', or set claas_url (and mode) to a deployment that runs"
        )
    check_place(config)


def check_place(config: EvalConfig) -> None:
    """Whether `output_dir` can be written to by every process of the evaluation. Raises `ConfigError`."""
    if is_address(config.output_dir) and protocol_of(config.output_dir) == "memory" and _needs_processes(config):
        raise ConfigError(
            f"output_dir={config.output_dir}: memory is one process's, and this evaluation would take several: set "
            "parallel_preferences=1, and from Python call launch.evaluate(config) in the main thread"
        )
    check_writable(config.run_folder)


def find_home(listener: Reporter = silent) -> None:
    """Dagster's home: the folder `DAGSTER_HOME`; where that is not set, ./data/dagster_home, and it is said."""
    named = os.environ.get(HOME_VARIABLE)
    if not named:
        home = DEFAULT_HOME.resolve()
        settings = home / "dagster.yaml"
        try:
            home.mkdir(parents=True, exist_ok=True)
            if not settings.exists():
                settings.write_text(DEFAULT_SETTINGS, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{home} cannot be made ({error.strerror}): set {HOME_VARIABLE} to a folder that can be written to"
            ) from error
        os.environ[HOME_VARIABLE] = str(home)
        note = f"{HOME_VARIABLE} is not set: using {home}. `export {HOME_VARIABLE}={home}` shows it in dagster dev"
        listener(Event("", "note", note))
    elif not Path(named).is_absolute():
        raise ConfigError(f"{HOME_VARIABLE} is {named!r}, which is relative: Dagster needs an absolute path")
    elif not Path(named).is_dir():
        raise ConfigError(f"{HOME_VARIABLE} is {named!r}, which is not a folder: create it (mkdir -p), or unset it")
    free = shutil.disk_usage(os.environ[HOME_VARIABLE]).free
    if free < LEAST_FREE_BYTES:
        raise ConfigError(
            f"{HOME_VARIABLE} is {os.environ[HOME_VARIABLE]}, where {free / 2**20:.1f} MiB are free: Dagster keeps its "
            f"runs there, which takes {LEAST_FREE_BYTES // 2**20} MiB. Make room, or name another folder"
        )


def _run(config: EvalConfig, job: str, listener: Reporter) -> dict[str, str]:
    """As `run_all`. In this process where one preference after the other is all that is asked for."""
    if _needs_processes(config):
        from claas_assets.launch.workers import run_all_side_by_side

        return run_all_side_by_side(config, job, listener)
    from claas_assets.launch.whole import one_after_the_other, run_all

    return run_all(config, job, listener, one_after_the_other)


def _needs_processes(config: EvalConfig) -> bool:
    many = min(config.parallel_preferences, len(config.preferences)) > 1
    return many or threading.current_thread() is not threading.main_thread()


def _how_to_go_on(config: EvalConfig, failures: dict[str, str]) -> str:
    reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
    told = f"not finished:\n{reasons}\nWhat finished is in {config.output_dir}"
    if all("another output_dir" in reason for reason in failures.values()):
        return told  # each says what to do, and it is not to go on here
    again = shlex.quote(f"output_dir={config.output_dir}")
    return f"{told}. Once the cause is mended, the same command with {again} goes on there and writes the summary"


def exit_code_of(summary: Summary, config: EvalConfig) -> int:
    """0, or 3 where `fail_on` names a verdict of this summary or a milder one (fail < marginal < inconclusive)."""
    if config.fail_on is None:
        return 0
    bad: dict[str, set[Any]] = {
        "fail": {"fail"},
        "marginal": {"fail", "marginal"},
        "inconclusive": {"fail", "marginal", "inconclusive", "unfinished"},
    }
    return 3 if any(entry.overall in bad[config.fail_on] for entry in summary.values()) else 0
