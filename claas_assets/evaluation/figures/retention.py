"""retention.png: of each sequence, how often every preference was obeyed at the end of every phase."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from claas_assets.evaluation.figures.series import Note, Run
from claas_assets.evaluation.figures.sheet import FONT, GRAY, INK, Heading, Panel, drawable, drawn
from claas_assets.evaluation.storage.records import MatrixRow, RetentionRecord

HEADING = Heading(
    "Does a newer preference undo an older one?",
    "Share of held-out prompts that obeyed each preference (a column), before training and at the end of each phase "
    "(a row). A frame: just trained.",
)


def retention_figure(runs: Sequence[Run]) -> Figure:
    """Of runs that are sequences with a verdict."""
    return drawn(HEADING, runs, _panel, columns=1, panel_height=3.4)


def has_matrix(run: Run) -> bool:
    return run.judged is not None and run.judged.retention is not None


def _panel(panel: Panel, run: Run) -> Sequence[Note]:
    record = run.judged.retention if run.judged is not None else None
    assert record is not None  # `has_matrix`
    axes, names = panel.axes, record.preferences
    panel.caption(run.name, f"verdict: {run.judged.outcome}" if run.judged else "")
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(record.rows), 0)
    axes.set_xticks([index + 0.5 for index in range(len(names))], [drawable(name) for name in names])
    axes.set_yticks([index + 0.5 for index in range(len(record.rows))], [drawable(_label(row)) for row in record.rows])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for y in range(len(record.rows)):
        for x, name in enumerate(names):
            _cell(panel, record, (x, y), name)
    return []


def _label(row: MatrixRow) -> str:
    return "untouched" if row.trained is None else f"{row.phase}: {row.trained}"


def _cell(panel: Panel, record: RetentionRecord, at: tuple[int, int], name: str) -> None:
    (x, y), axes = at, panel.axes
    cell, own = record.rows[y].cells[name], y in record.numbers[name].own_rows
    value = cell.value
    shade = "white" if value is None else (1 - 0.75 * value, 1 - 0.35 * value, 1 - 0.15 * value)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor="white", linewidth=1.5))
    if own:
        axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.4))
    interval = "" if cell.interval is None else f"\n{cell.interval.lower:.2f}…{cell.interval.upper:.2f}, n = {cell.n}"
    text = "not measured" if value is None else f"{value:.2f}{interval}"
    axes.text(
        x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=9, fontfamily=FONT,
        color=GRAY if value is None else INK,
    )  # fmt: skip
