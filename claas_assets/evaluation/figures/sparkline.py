"""A curve as wide as a word: a few hundred bytes of SVG, written by hand (no matplotlib)."""

import math
from collections.abc import Sequence

_MARGIN = 2.0  # room for the round ends of the line
_INK = "steelblue"  # by name: a '#' would end a data URI


def sparkline(values: Sequence[float | None], *, width: int, height: int) -> str:
    """An SVG of `width` × `height` pixels: the values from left to right, the least at the bottom.

    None (and anything that is not finite) leaves a gap; a value alone between two gaps is a dot, and so
    is the last one. No '#' and no line end in it, so that it can be quoted as a data URI. Raises
    `ValueError` where there is no room to draw.
    """
    if width <= 2 * _MARGIN or height <= 2 * _MARGIN:
        raise ValueError(f"a sparkline needs more than {2 * _MARGIN:.0f} pixels each way: got {width} × {height}")
    pieces = _pieces(_placed(values, width, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{_spoken(values)}">'
        f"{''.join(_line(piece) for piece in pieces)}{''.join(_dots(pieces))}</svg>"
    )


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _placed(values: Sequence[float | None], width: int, height: int) -> list[tuple[float, float] | None]:
    """Pixel positions; None where there is no value. A constant runs through the middle."""
    numbers = _finite(values)
    low, span = (min(numbers), max(numbers) - min(numbers)) if numbers else (0.0, 0.0)
    step = (width - 2 * _MARGIN) / max(len(values) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        share = (value - low) / span if span else 0.5
        return _MARGIN + index * step, height - _MARGIN - share * (height - 2 * _MARGIN)

    return [
        None if value is None or not math.isfinite(value) else place(index, value) for index, value in enumerate(values)
    ]


def _pieces(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """The runs between gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            pieces.append([])
        else:
            pieces[-1].append(place)
    return [piece for piece in pieces if piece]


def _line(piece: Sequence[tuple[float, float]]) -> str:
    if len(piece) < 2:
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
    return f'<polyline points="{points}" fill="none" stroke="{_INK}" stroke-width="1.5" stroke-linejoin="round"/>'


def _dots(pieces: Sequence[Sequence[tuple[float, float]]]) -> list[str]:
    """Values that no line would show, and the end of the curve."""
    alone = [piece[0] for piece in pieces if len(piece) == 1]
    ends = [pieces[-1][-1]] if pieces and len(pieces[-1]) > 1 else []
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{_INK}"/>' for x, y in alone + ends]


def _spoken(values: Sequence[float | None]) -> str:
    numbers = _finite(values)
    if not numbers:
        return "not measured"
    missing = len(values) - len(numbers)
    gaps = f", {missing} of {len(values)} not measured" if missing else ""
    return f"{numbers[0]:.3g} to {numbers[-1]:.3g}{gaps}"
