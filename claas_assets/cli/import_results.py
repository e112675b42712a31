"""`claas-eval import DIR`: results of the public harness as a run that view, compare and load_runs show."""

import argparse
import re
import shlex

from claas_assets.cli.folders import local_folder
from claas_assets.cli.foreign_text import lines
from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.runs.importing import read_public_results, write_imported
from claas_assets.evaluation.storage.names import check_run_id


def run(arguments: list[str]) -> int:
    """Raises `RunFolderError` where a file of the folder cannot be used, and then nothing is written."""
    parser = argparse.ArgumentParser(
        prog="claas-eval import",
        description="Read a results folder of the public harness into a run folder. What it does not record is "
        "unavailable; nothing is scored and nothing is sent.",
    )
    parser.add_argument("source", type=local_folder, metavar="DIR", help="its results folder, or one preference's")
    parser.add_argument("--as", dest="run_id", metavar="RUN_ID", help="default: imported-<name of the folder>")
    asked = parser.parse_args(arguments)
    by_default = f"imported-{re.sub('[^A-Za-z0-9_-]+', '-', asked.source.resolve().name)}"[:100]
    run_id = check_run_id(asked.run_id or by_default)
    target = chosen_config().results_dir / run_id
    records = read_public_results(asked.source, run_id)
    write_imported(records, target)
    names = ", ".join(f"{record.adapter.preference} ({len(record.steps)} steps)" for record in records)
    print(lines(f"{names}\nRun folder: {target}\nIn a browser: claas-eval view {shlex.quote(str(target))}"))
    return 0
