"""`claas-eval report RUN`: writes the run's report.html."""

import argparse

from claas_assets.cli.folders import local_folder


def run(arguments: list[str]) -> int:
    """Write the report and print where it is. Raises `RunFolderError` without a run, or a folder to write to."""
    parser = argparse.ArgumentParser(prog="claas-eval report", description=__doc__)
    parser.add_argument("run_folder", metavar="RUN", type=local_folder, help="such as data/evals/20261124-101500Z")
    options = parser.parse_args(arguments)

    from claas_assets.viewer.report import write_report  # Jinja and, for the figures, matplotlib

    print(write_report(options.run_folder))
    return 0
