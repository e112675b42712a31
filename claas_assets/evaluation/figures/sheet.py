"""The paper: a grid of panels with the question above it, one legend, and the notes below it.

Sizes are chosen for a README, where a picture 1,600 pixels wide is shown at about half of that.
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from claas_assets.evaluation.figures.series import Note, worded

T = TypeVar("T")

INK, GRAY, FAINT = "#1a1a1a", "#595959", "#d9d9d9"
BLUE, VERMILLION = "#0072B2", "#D55E00"
PALETTE = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
"""Okabe and Ito's colors, told apart with any color vision; markers and dashes repeat the distinction."""
MARKERS = ("o", "s", "^", "v", "P", "X", "p")
DASHES = ("-", "--", "-.", ":")

FONT = "DejaVu Sans"  # ships with matplotlib: the same picture on every machine
MAX_NOTES = 8
MAX_TITLE = 44  # characters; a preference's name may have 64
_WIDTHS = {1: 7.4, 2: 9.0}  # inches, by columns
_FULL_WIDTH = 10.8
_MARGIN, _PAD = 0.22, 0.1
_LINE = 0.175  # height of a line of notes


@dataclass(frozen=True)
class Look:
    color: str
    marker: str
    style: str


def look(index: int) -> Look:
    """How the preference at this place is drawn where several share a panel: the same in all pictures."""
    count = len(PALETTE)
    return Look(PALETTE[index % count], MARKERS[index % count], DASHES[index // count % len(DASHES)])


@dataclass(frozen=True)
class Heading:
    """`title` is the question, `subtitle` what is drawn and in which unit."""

    title: str
    subtitle: str


@dataclass(frozen=True)
class Panel:
    axes: Axes
    width: float
    """Inches, about: the layout is only made when the picture is drawn."""
    leftmost: bool

    def feedback_axis(self, last: int) -> None:
        """0 to `last` feedback steps, with whole numbers only."""
        end = max(last, 1)
        self.axes.set_xlim(-0.035 * end, 1.035 * end)
        self.axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=2))
        self.axes.set_xlabel("feedback steps (0 = baseline)", fontsize=9, color=GRAY, fontfamily=FONT)

    def value_axis(self, label: str) -> None:
        self.axes.set_ylabel(drawable(label), fontsize=9, color=GRAY, fontfamily=FONT)

    def caption(self, title: str, *details: str) -> None:
        """The panel's name in bold, and one line for each detail; an empty one keeps titles side by side level."""
        title = title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 13]}…{title[-12:]}"
        size = min(11.0, self.width * 72 / (0.7 * len(title)))
        above = 6 + 12.2 * len(details)
        self.axes.set_title(
            drawable(title), loc="left", fontsize=size, fontweight="bold", color=INK, fontfamily=FONT, pad=above + 1
        )
        self.axes.annotate(
            drawable("\n".join(details)), (0, 1), (0, above - 2), xycoords="axes fraction", textcoords="offset points",
            fontsize=8.5, color=GRAY, va="top", fontfamily=FONT, linespacing=1.2,
        )  # fmt: skip

    def say_instead(self, text: str) -> None:
        """Where there is nothing to draw, the panel says why."""
        axes, width = self.axes, _characters(self.width - 0.4, 9)
        axes.text(
            0.5, 0.5, drawable("\n".join(textwrap.wrap(text, width))), transform=axes.transAxes, ha="center",
            va="center", fontsize=9, color=GRAY, fontfamily=FONT,
        )  # fmt: skip
        axes.set_yticks([])
        axes.set_ylabel("")
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)


def drawn(
    heading: Heading,
    things: Sequence[T],
    draw: Callable[[Panel, T], Sequence[Note]],
    *,
    columns: int | None = None,
    panel_height: float = 2.9,
    notes: Sequence[Note] = (),
) -> Figure:
    """A picture with a panel for each of these things, from left to right and down.

    `draw` fills a panel and returns what it must not hide; that is said below the picture, after `notes`.
    """
    count = len(things)
    columns = columns or (count if count <= 3 else 2 if count == 4 else 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(_WIDTHS.get(columns, _FULL_WIDTH), rows * panel_height), facecolor="white")
    grid = [axes for row in figure.subplots(rows, columns, squeeze=False) for axes in row]
    for axes in grid[count:]:
        axes.remove()
    width, said = float(figure.get_size_inches()[0]) / columns - 0.65, list(notes)
    for index, (axes, thing) in enumerate(zip(grid, things, strict=False)):
        _plain_frame(axes)
        said.extend(draw(Panel(axes, width, leftmost=index % columns == 0), thing))
    _finish(figure, grid[:count], heading, said)
    return figure


def _plain_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRAY)
    axes.tick_params(labelsize=9, colors=GRAY, labelfontfamily=FONT)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _finish(figure: Figure, axes: Sequence[Axes], heading: Heading, notes: Sequence[Note]) -> None:
    """Put heading, legend and notes around the panels, and make the paper as high as that needs (inches)."""
    width, panels = figure.get_size_inches()
    room = width - 2 * _MARGIN
    subtitle = textwrap.wrap(heading.subtitle, _characters(room, 9.5))
    footer = _footer_lines(worded(notes), _characters(room, 8.5))
    handles = _legend_handles(axes)
    columns = _legend_columns([str(handle.get_label()) for handle in handles], room)
    legend_top = 0.47 + len(subtitle) * 0.19
    above = legend_top + math.ceil(len(handles) / columns) * 0.215 + 0.02
    below = 0.1 + (len(footer) * _LINE + 0.08 if footer else 0.0)
    height = panels + above + below
    figure.set_size_inches(width, height)
    _write(figure, [heading.title], top=0.14, points=13.5, weight="bold", color=INK)
    _write(figure, subtitle, top=0.45, points=9.5)
    if footer:
        _write(figure, footer, top=height - below + 0.08, points=8.5)
    if handles:
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(_MARGIN / width, 1 - legend_top / height),
            ncols=columns, frameon=False, borderpad=0, borderaxespad=0, handlelength=2.2, columnspacing=1.6,
            prop={"family": FONT, "size": 9}, labelcolor=INK,
        )  # fmt: skip
    side = (_MARGIN - _PAD) / width
    inside = (side, below / height, 1 - 2 * side, 1 - (above + below) / height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=inside, h_pad=0.08, w_pad=_PAD))


def _write(
    figure: Figure, lines: Sequence[str], *, top: float, points: float, weight: str = "normal", color: str = GRAY
) -> None:
    """Lines that begin `top` inches below the upper edge."""
    width, height = figure.get_size_inches()
    figure.text(
        _MARGIN / width, 1 - top / height, drawable("\n".join(lines)), fontsize=points, fontweight=weight, color=color,
        va="top", fontfamily=FONT, linespacing=1.25,
    )  # fmt: skip


def drawable(text: str) -> str:
    """Foreign text (reasons quote servers and models): no mathtext, no tabs, no character without a glyph."""
    shown = "".join(c if c == "\n" or _has_glyph(c) else "□" for c in text.expandtabs(1))
    return shown.replace("$", r"\$")


@cache
def _has_glyph(character: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont(FONT)).get_char_index(ord(character)) != 0


def _inches(characters: int, points: float) -> float:
    """How wide a text of this size is, about: DejaVu's characters are 0.55 em wide on average."""
    return characters * points * 0.55 / 72


def _characters(inches: float, points: float) -> int:
    """How many characters of this size go into a line."""
    return max(10, int(inches / _inches(1, points)))


def _footer_lines(notes: Sequence[str], width: int) -> list[str]:
    shown = list(notes[:MAX_NOTES])
    if len(notes) > MAX_NOTES:
        shown.append(f"… and {len(notes) - MAX_NOTES} more: `reason` in metrics.csv says why for each")
    return [line for note in shown for line in textwrap.wrap(_short(note), width, subsequent_indent="    ")]


def _short(note: str, limit: int = 240) -> str:
    note = " ".join(note.split())
    return note if len(note) <= limit else f"{note[: limit - 1]}…"


def _legend_handles(panels: Sequence[Axes]) -> list:
    """One entry for each label, in the order of first appearance."""
    handles: dict[str, object] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    return list(handles.values())


def _legend_columns(labels: Sequence[str], room: float) -> int:
    """As many as fit. A legend is filled column by column, and a column is as wide as its widest label."""
    for columns in range(len(labels), 1, -1):
        rows, longer = divmod(len(labels), columns)  # the first columns have one entry more
        starts = [column * rows + min(column, longer) for column in range(columns + 1)]
        widest = [max(map(len, labels[start:end])) for start, end in itertools.pairwise(starts)]
        if sum(_inches(length, 9) + 0.62 for length in widest) <= room:
            return columns
    return 1
