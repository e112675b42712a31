"""`claas-eval compare`: runs side by side, or the recipes of a sweep.

claas-eval compare RUN RUN                      what differs, and which held-out prompts flipped
claas-eval compare --sweep ID --figure FILE     mean over seeds by recipe, and the dose-response picture
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from claas_assets.cli import comparison_tables
from claas_assets.evaluation.comparison import csv_table as comparison_csv
from claas_assets.evaluation.comparison.comparison import Comparison, compare
from claas_assets.evaluation.comparison.sweeps import SweepComparison, group_seeds
from claas_assets.evaluation.errors import ConfigError, NoSuchRun
from claas_assets.evaluation.runs.frames import LoadedRun, load_run, load_runs
from claas_assets.evaluation.runs.loading import run_folders
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.atomic import write_whole
from claas_assets.evaluation.storage.names import is_preference_name
from claas_assets.evaluation.storage.stores import Place, is_folder, place_at
from claas_assets.evaluation.terminal_text import one_line

FIGURE_TYPES = (".png", ".svg")


def run(arguments: list[str]) -> int:
    """Raises `ConfigError` for a wrong command line, `RunFolderError` where a run cannot be read."""
    options = _parser().parse_args(arguments)
    _check(options)
    options.results_dir = place_at(options.results_dir)
    runs, broken = _find(options)
    _show(options, _only(options.preference, runs), broken)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="claas-eval compare",
        description="Compare runs by preference and criterion; each further run is paired with the first. "
        "With --sweep: group a sweep's runs by their configuration apart from the seed.",
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run folder or its address, or a run id below --results-dir"
    )
    parser.add_argument("--sweep", metavar="ID", help="the runs of this sweep, instead of RUN")
    parser.add_argument("--seeds", action="store_true", help="group the named RUNs as a sweep's are grouped")
    parser.add_argument("--results-dir", default="data/evals", metavar="DIR", help="(%(default)s)")
    parser.add_argument("--preference", action="append", metavar="NAME", help="only this one; may be repeated")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON, answers in full")
    form.add_argument("--csv", action="store_true", help="print a tidy table as CSV")
    parser.add_argument(
        "--figure", metavar="FILE", help="draw the dose-response (.png, .svg); a bare name is put in --results-dir"
    )
    parser.add_argument("--criterion", default="obeyed", metavar="NAME", help="what --figure shows (%(default)s)")
    parser.add_argument("--x", metavar="KEY", help="swept key on the x axis of --figure (the one with most values)")
    return parser


def _check(options: argparse.Namespace) -> None:
    if bool(options.runs) == bool(options.sweep):
        raise ConfigError("name runs (claas-eval compare RUN RUN), or a sweep (claas-eval compare --sweep ID)")
    if options.figure and Path(options.figure).suffix.lower() not in FIGURE_TYPES:
        raise ConfigError(f"--figure {options.figure}: the name must end in {' or '.join(FIGURE_TYPES)}")
    if options.figure and options.runs and not options.seeds:
        raise ConfigError("--figure draws recipes: add --seeds, or name a sweep with --sweep ID")


def _find(options: argparse.Namespace) -> tuple[list[LoadedRun], dict[str, str]]:
    """The runs that were named, and those of a sweep that could not be read."""
    if not options.sweep:
        return [load_run(_folder(name, options.results_dir)) for name in options.runs], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said below, without Python's file and line
        loaded = load_runs(options.results_dir, sweep_id=options.sweep)
    for run_id, reason in loaded.broken.items():
        print(f"claas-eval compare: run {one_line(run_id)} is left out: {one_line(reason)}", file=sys.stderr)
    if not loaded.runs:
        raise NoSuchRun(
            f"--sweep {options.sweep}: no run below {options.results_dir} is of that sweep. "
            "claas-eval --multirun names its sweep at the end, and each run's metadata.json in config.sweep_id"
        )
    return list(loaded.runs), loaded.broken


def _folder(name: str, results_dir: Place) -> Place:
    for folder in [place_at(name), *([] if is_address(name) else [results_dir / name])]:
        if is_folder(folder):
            return folder
    there = [folder.name for folder in run_folders(results_dir)][-5:] if is_folder(results_dir) else []
    newest = f"; the last ones there: {', '.join(there)}" if there else ""
    raise NoSuchRun(f"there is no run {name!r}: neither a folder nor a run id below {results_dir}{newest}")


def _only(names: list[str] | None, runs: list[LoadedRun]) -> list[LoadedRun]:
    """The runs with only the preferences of `names`."""
    if not names:
        return runs
    there = sorted({name for run in runs for name in run.preferences})
    wrong = [name for name in names if not is_preference_name(name) or name not in there]
    if wrong:
        raise ConfigError(f"--preference {wrong[0]}: no run has it. Preferences there: {', '.join(there)}")
    kept = [
        LoadedRun(run.run_id, run.folder, {name: run.preferences[name] for name in names if name in run.preferences})
        for run in runs
    ]
    return [run for run in kept if run.preferences]


def _show(options: argparse.Namespace, runs: list[LoadedRun], broken: dict[str, str]) -> None:
    grouped = bool(options.sweep) or options.seeds
    result: Comparison | SweepComparison = compare(runs)
    if grouped:
        result = group_seeds(runs, options.sweep).model_copy(update={"broken": broken})
    if options.json:
        # ASCII only: a C1 control character in an answer would otherwise reach the terminal.
        print(json.dumps(result.model_dump(mode="json"), indent=2, ensure_ascii=True, allow_nan=False))
    elif options.csv:
        print(comparison_csv.of(result), end="")
    else:
        comparison_tables.show(result)
    if options.figure and isinstance(result, SweepComparison):
        _draw(options, result)


def _draw(options: argparse.Namespace, sweep: SweepComparison) -> None:
    from claas_assets.evaluation.comparison.dose_response import draw_dose_response  # matplotlib: 0.5 s

    named = Path(options.figure)
    path = options.results_dir / named if named.parent == Path() else named
    write_whole(path, draw_dose_response(sweep, options.criterion, options.x, kind=path.suffix[1:].lower()))
    print(f"Figure: {path}", file=sys.stderr)
