"""`claas-eval prune`: list the run folders that may go, and delete them with `--yes`.

    claas-eval prune --keep 50 --older-than 90d             # lists
    claas-eval prune --keep 50 --older-than 90d --yes       # deletes
    claas-eval prune --pin 20261124-101500Z                 # never deletes that one

The newest `--keep` are never deleted, and none that is younger than `--older-than`; nor one that is
running or pinned, nor anything that is not a run folder. Symbolic links are not followed.
"""

import argparse
import sys
from datetime import UTC, datetime

from claas_assets.cli.folders import DEFAULT_RESULTS, local_folder
from claas_assets.evaluation.errors import ConfigError, EvaluationError
from claas_assets.evaluation.runs.retention import StoredRun, delete_run, parse_age, read_runs, set_pin, why_kept


def run(arguments: list[str]) -> int:
    """Returns the exit code: 0, or 1 where a folder could not be deleted."""
    options = _parser().parse_args(arguments)
    if options.pin or options.unpin:
        folder = set_pin(options.results_dir, options.pin or options.unpin, pinned=bool(options.pin))
        print(f"{folder}: {'pinned' if options.pin else 'not pinned any more'}")
        return 0
    return _prune(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="claas-eval prune", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "results_dir", nargs="?", type=local_folder, default=DEFAULT_RESULTS, help="default: %(default)s"
    )
    parser.add_argument("--keep", type=_count, metavar="N", help="never delete the newest N")
    parser.add_argument("--older-than", metavar="AGE", help="delete only what is older: 90d, 12h, 8w")
    parser.add_argument("--yes", action="store_true", help="delete; without it they are only listed")
    pins = parser.add_mutually_exclusive_group()
    pins.add_argument("--pin", metavar="RUN", help="never delete this run")
    pins.add_argument("--unpin", metavar="RUN", help="take that back")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


def _prune(options: argparse.Namespace) -> int:
    if options.keep is None and options.older_than is None:
        raise ConfigError("say what to keep: --keep 50, --older-than 90d, or both (then both must allow it)")
    age = parse_age(options.older_than) if options.older_than else None
    runs, refused = read_runs(options.results_dir)
    reasons = why_kept(runs, keep=options.keep, older_than=age, now=datetime.now(UTC))
    failed = 0
    for run, kept in zip(runs, reasons, strict=True):
        if kept:
            print(f"keeps    {_line(run)}: {kept}")
        elif options.yes:
            failed += not _deleted(run)
        else:
            print(f"deletes  {_line(run)}")
    for path, reason in refused.items():
        print(f"skips    {path.name!a}: {reason}", file=sys.stderr)
    going = reasons.count("")
    if going and not options.yes:
        print(f"{going} of {len(runs)} run folders would go; --yes deletes them")
    elif not going:
        print(f"nothing to delete among {len(runs)} run folders in {options.results_dir}")
    return 1 if failed else 0


def _deleted(run: StoredRun) -> bool:
    try:
        delete_run(run)
    except (EvaluationError, OSError) as error:
        print(f"not deleted: {error}", file=sys.stderr)
        return False
    print(f"deleted  {_line(run)}")
    return True


def _line(run: StoredRun) -> str:
    return f"{run.path.name}  {run.created:%Y-%m-%d %H:%M} UTC  {run.size_bytes / 1e6:.1f} MB"
