"""A run as one HTML file: opens from disk, prints, needs no network and no script."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from claas_assets.evaluation.errors import NoSuchRun, RunFolderError
from claas_assets.evaluation.runs.catalog import run_overview
from claas_assets.evaluation.storage.run_folder import REPORT_FILE, RunFolder
from claas_assets.viewer.before_after import Pair, PromptSet, prompt_sets
from claas_assets.viewer.loading import PreferenceRecords, load_preference
from claas_assets.viewer.pages import difference, run_context
from claas_assets.viewer.states import state_table
from claas_assets.viewer.svg import figure_svg
from claas_assets.viewer.templating import STATIC, render

OPEN_PAIRS = 3  # of each set, shown at once and printed; the others open on a click


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder and return its path. Raises `RunFolderError` where it cannot."""
    path, report = run_folder / REPORT_FILE, render_report(run_folder)
    try:
        RunFolder(run_folder).write_report(report)
    except OSError as error:
        raise RunFolderError(f"{path}: the report cannot be written: {error.strerror}") from error
    return path


def render_report(run_folder: Path) -> str:
    """The report's HTML. Raises `NoSuchRun` where the folder holds no run."""
    folder = run_folder.resolve()
    overview = run_overview(folder)
    if overview is None:
        raise NoSuchRun(
            f"{run_folder}: no run is here (a folder for each preference, with metadata.json in it). "
            "Name a run folder, such as data/evals/20261124-101500Z"
        )
    style = (STATIC / "viewer.css").read_text(encoding="utf-8")
    context = run_context(folder, overview)
    return render(
        "report.html",
        style=Markup(style),
        policy=_policy(style),
        svgs={name: Markup(figure_svg(folder, name)) for name in context["figures"]},
        details=[_details(load_preference(records.folder)) for records in context["preferences"]],
        open_pairs=OPEN_PAIRS,
        **context,
    )


def _policy(style: str) -> str:
    """Nothing but this style sheet: not even the report's own pictures come from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _details(records: PreferenceRecords) -> dict[str, Any]:
    sets = prompt_sets(records)
    return {
        "records": records,
        "sets": [(prompts, [_shown(prompts, pair) for pair in prompts.pairs]) for prompts in sets],
        "table": state_table(records),
    }


def _shown(prompts: PromptSet, pair: Pair) -> dict[str, Any]:
    return {"set": prompts, "pair": pair, "difference": difference(pair)}
