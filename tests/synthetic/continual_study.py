"""The study of docs/continual.md: the shipped sequence in two orders and under a placebo, over several seeds."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from claas_assets.evaluation.config import EvalConfig, load_config, preference_folder
from claas_assets.evaluation.errors import EvaluationError, NoSuchRun
from claas_assets.evaluation.metrics.statistics import student_t
from claas_assets.evaluation.runs.frames import load_run
from claas_assets.evaluation.runs.results import verdict_now
from claas_assets.evaluation.storage.records import RetentionRecord, VerdictRecord
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.verdict.outcome import outcome_of
from claas_assets.launch.evaluation import evaluate

SWEEP = "continual"
ORDER = ("identity", "concise", "no_emoji")


@dataclass(frozen=True)
class Case:
    """One row of the study: an order of the preferences, with their feedback or a placebo's."""

    name: str
    partition: str
    control: str = "none"


CASES = (
    Case("in order", "onboarding"),
    Case("reversed", "reversed"),
    Case("placebo, in order", "onboarding", control="placebo"),
)


def main(arguments: Sequence[str] | None = None, description: str | None = None) -> int:
    """Run what is missing and print the tables; 1 where a run has no verdict."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="feedback steps of each phase")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--results-dir", type=Path, default=Path("data/evals/continual"))
    parser.add_argument("--tables", action="store_true", help="run nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="further settings, the same for all runs")
    asked = parser.parse_args(arguments)
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    preferences = write_sequences(asked.results_dir / ".preferences", asked.steps)
    failed = False
    for seed in seeds if not asked.tables else ():
        for case in CASES:  # a placebo shares the baseline of its own seed
            failed |= not run(config_of(case, seed, asked.results_dir, preferences, asked.overrides), case)
    for line in tables(asked.results_dir, seeds):
        print(line)
    return 1 if failed else 0


def write_sequences(folder: Path, steps: int) -> Path:
    """The shipped preferences, and the sequence in two orders."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ORDER:
        shutil.copy(preference_folder(None) / f"{name}.yaml", folder)
    for name, order in (("onboarding", ORDER), ("reversed", ORDER[::-1])):
        phases = "".join(f"  - {{preference: {preference}, steps: {steps}}}\n" for preference in order)
        (folder / f"{name}.yaml").write_text(f"name: {name}\nphases:\n{phases}", encoding="utf-8")
    return folder


def config_of(case: Case, seed: int, results: Path, preferences: Path, overrides: Sequence[str]) -> EvalConfig:
    given = dict(override.split("=", 1) for override in overrides)
    return load_config(
        {
            "preferences": [case.partition],
            "preferences_dir": str(preferences),
            "snapshot_size": "quick",
            "parallel_preferences": 1,
            "plots": False,
            "seed": seed,
            "control": case.control,
            "sweep_id": SWEEP,
            "output_dir": str(folder_of(case, seed, results)),
            **given,
        }
    )


def folder_of(case: Case, seed: int, results: Path) -> Path:
    return results / f"{SWEEP}-{case.control}-{case.partition}-{seed}"


def run(config: EvalConfig, case: Case) -> bool:
    """Evaluate, unless that is done; whether there is a verdict now."""
    if finished(Path(config.output_dir), case.partition) is not None:
        return True
    print(f"{case.name}, seed {config.seed}: {config.output_dir}", file=sys.stderr, flush=True)
    try:
        evaluate(config)
    except EvaluationError as error:
        print(f"{config.output_dir}: {error}", file=sys.stderr, flush=True)
    return finished(Path(config.output_dir), case.partition) is not None


def finished(folder: Path, partition: str) -> VerdictRecord | None:
    """The verdict of a run that has one for all its steps."""
    held = RunFolder(folder).preference(partition)
    if not held.has("metadata.json"):
        return None
    verdict = verdict_now(held)
    return None if verdict.overall == "unfinished" else verdict


# --- tables -------------------------------------------------------------------------------------


def tables(results: Path, seeds: Sequence[int]) -> Iterator[str]:
    """The matrix of each case over its seeds, what became of each preference, and the gain over placebo."""
    found = {case: [v for s in seeds if (v := finished(folder_of(case, s, results), case.partition))] for case in CASES}
    for case, verdicts in found.items():
        yield f"\n### {case.name}: {len(verdicts)} of {len(seeds)} seeds\n"
        records = [verdict.retention for verdict in verdicts if verdict.retention is not None]
        if records:
            yield from _matrix(records)
            yield from _numbers(records)
            outcomes = Counter(map(outcome_of, verdicts))
            yield f"\nOutcomes: {', '.join(f'{count} {name}' for name, count in outcomes.items())}."
    yield from _gains(found[CASES[0]], found[CASES[2]])
    yield from _cost(results, seeds)


def _matrix(records: Sequence[RetentionRecord]) -> Iterator[str]:
    names = records[0].preferences
    yield f"| after | {' | '.join(names)} |"
    yield "| --- " * (len(names) + 1) + "|"
    for index, row in enumerate(records[0].rows):
        after = "untouched" if row.trained is None else f"{row.phase}: {row.trained}"
        cells = [[record.rows[index].cells[name].value for record in records] for name in names]
        yield f"| {after} | {' | '.join(_mean(column, lowest=0.0) for column in cells)} |"


def _numbers(records: Sequence[RetentionRecord]) -> Iterator[str]:
    yield "\n| preference | learned | retention | forgetting | forward transfer | half-life (steps) |"
    yield "| --- " * 6 + "|"
    for name in records[0].preferences:
        numbers = [record.numbers[name] for record in records]
        columns = [
            [n.learned for n in numbers], [n.retention for n in numbers], [n.forgetting for n in numbers],
            [n.forward_transfer for n in numbers],
        ]  # fmt: skip
        half_lives = ", ".join("–" if n.half_life is None else str(n.half_life) for n in numbers)
        yield f"| {name} | {' | '.join(_mean(column) for column in columns)} | {half_lives} |"
    backward = [record.backward_transfer for record in records]
    yield f"\nBackward transfer: {_mean(backward)}."


def _gains(treated: Sequence[VerdictRecord], placebo: Sequence[VerdictRecord]) -> Iterator[str]:
    """Of the last row, seed by seed: what the content of the feedback did."""
    pairs = [
        (one.retention, other.retention)
        for one, other in zip(treated, placebo, strict=False)
        if one.retention is not None and other.retention is not None
    ]
    if not pairs:
        return
    yield "\n### gain over placebo, at the end\n"
    for name in pairs[0][0].preferences:
        ends = [(one.rows[-1].cells[name].value, other.rows[-1].cells[name].value) for one, other in pairs]
        yield f"- {name}: {_mean([a - b for a, b in ends if a is not None and b is not None])}"


def _cost(results: Path, seeds: Sequence[int]) -> Iterator[str]:
    seconds = []
    for case in CASES:
        for seed in seeds:
            try:
                steps = load_run(folder_of(case, seed, results)).preferences[case.partition]
            except (NoSuchRun, EvaluationError):
                continue
            seconds.append(
                sum(s.timing_s for s in steps.steps) + (steps.baseline.duration_s or 0.0 if steps.baseline else 0)
            )
    if seconds:
        yield f"\n{len(seconds)} runs, {fmean(seconds) / 60:.0f} minutes each."


def _mean(values: Sequence[float | None], lowest: float = -1.0) -> str:
    """ "0.95 (0.90…1.00) [0.95, …]": the mean over seeds, its 95 % t interval of three or more that differ, each.

    The interval ends where the values must: rates lie in [0, 1], their differences in [-1, 1].
    """
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    interval = student_t(known, at_least=3) if max(known) > min(known) else None
    told = f" ({max(interval.lower, lowest):.2f}…{min(interval.upper, 1.0):.2f})" if interval is not None else ""
    each = f" [{', '.join(f'{value:.2f}' for value in known)}]" if len(known) > 1 else ""
    return f"{fmean(known):.2f}{told}{each}"
