"""The pictures of a run, drawn from its records alone.

    margins.png          does the model favor the preferred answer?  logprob margin, nats
    learning_curves.png  does it do what the user asked?             share that obeys
    collapse.png         has it degenerated?                         entropy, ROUGE-L, loops, drift
    capability.png       is it still able?                           the items; the four public probes, told
    sdpo.png             what did the engine report?                 every number of `sdpo_metrics`
    retention.png        does a newer preference undo an older one?  the retention matrix, of sequences alone

The x axis counts feedback steps: 0 is the baseline, and the state after `StepRecord.step` s is at s + 1.
A number that is missing leaves a gap, never a 0, and its reason stands below the picture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from claas_assets.evaluation.figures.series import runs_of
from claas_assets.evaluation.figures.sparkline import sparkline
from claas_assets.evaluation.storage.records import ScoresRecord, VerdictRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "draw", "figures", "sparkline"]

# What a notebook's shell hands down: where the notebook's package is missing, matplotlib cannot even be imported.
# These pictures need no screen, and every module here that imports matplotlib is imported after this.
if os.environ.get("MPLBACKEND", "").startswith("module://") and "ipykernel" not in sys.modules:
    os.environ["MPLBACKEND"] = "agg"

FIGURES = ("margins", "learning_curves", "collapse", "capability", "sdpo")
_SHOWS = {"margins": "logprob", "learning_curves": "compliance", "collapse": "collapse", "capability": "general"}
PNG_DPI = 150


def draw(scores: Mapping[str, ScoresRecord], verdicts: Mapping[str, VerdictRecord]) -> dict[str, bytes]:
    """File name → PNG, one for each of `asked_figures`; nothing where there is no preference. Of
    sequences, the retention matrix too.

    The keys of both are preference names. A preference may have no verdict, no baseline or no step: what it has
    is drawn, what it has not is said. The same records give the same bytes (with the same matplotlib).
    """
    return {f"{name}.png": _png(figure) for name, figure in figures(scores, verdicts).items()}


def figures(scores: Mapping[str, ScoresRecord], verdicts: Mapping[str, VerdictRecord]) -> dict[str, Figure]:
    """The same pictures as matplotlib figures, by name of `FIGURES`. No pyplot: nothing needs closing."""
    runs = runs_of(scores, verdicts)
    if not runs:
        return {}
    # matplotlib: 0.5 s to import, and only pictures need it.
    from claas_assets.evaluation.figures.capability import capability_figure
    from claas_assets.evaluation.figures.collapse import collapse_figure
    from claas_assets.evaluation.figures.learning_curves import learning_curves_figure
    from claas_assets.evaluation.figures.margins import margins_figure
    from claas_assets.evaluation.figures.retention import has_matrix, retention_figure
    from claas_assets.evaluation.figures.sdpo import sdpo_figure

    drawings = (margins_figure, learning_curves_figure, collapse_figure, capability_figure, sdpo_figure)
    asked = asked_figures({metric for record in scores.values() for metric in record.metrics})
    drawn = {name: drawing(runs) for name, drawing in zip(FIGURES, drawings, strict=True) if name in asked}
    sequences = [run for run in runs if has_matrix(run)]
    return {**drawn, "retention": retention_figure(sequences)} if sequences else drawn


def asked_figures(metrics: Collection[str]) -> list[str]:
    """Those of `FIGURES` that show one of these metrics, and what the engine reported: another would be empty."""
    return [name for name in FIGURES if _SHOWS.get(name) is None or _SHOWS[name] in metrics]


def _png(figure: Figure) -> bytes:
    """Without the metadata that matplotlib adds by itself, so that the bytes depend on the picture alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    figure.set_dpi(PNG_DPI)
    # Not `savefig`: where a layout is made, it goes through the whole figure once before it draws, and draws nothing.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
