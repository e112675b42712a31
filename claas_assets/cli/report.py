"""`claas-eval report RUN`: writes the run's report.html."""

from __future__ import annotations

import argparse
import sys

from claas_assets.cli.folders import local_folder
from claas_assets.evaluation.errors import EvaluationError


def run(arguments: list[str]) -> int:
    """Write the report and print where it is. 1: no run is there, or it cannot be written."""
    parser = argparse.ArgumentParser(prog="claas-eval report", description=__doc__)
    parser.add_argument("run_folder", metavar="RUN", type=local_folder, help="such as data/evals/20261124-101500Z")
    options = parser.parse_args(arguments)

    from claas_assets.viewer.report import write_report  # Jinja and, for the figures, matplotlib

    try:
        print(write_report(options.run_folder))
    except EvaluationError as error:
        print(f"claas-eval report: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"claas-eval report: {options.run_folder}: the report cannot be written: {error.strerror}", file=sys.stderr
        )
        return 1
    return 0
