"""A sparkline inside Markdown that Dagster shows inline, which it does below 1,000 characters."""

import base64
from collections.abc import Sequence

from claas_assets.evaluation.figures.sparkline import sparkline

INLINE_LIMIT = 1000  # characters
_MOST_POINTS = 40


def inline_sparkline(label: str, values: Sequence[float | None]) -> str:
    """`label` and the curve as a Markdown image with a data URI; a long series is thinned, its ends are kept."""
    for points in range(_MOST_POINTS, 1, -2):
        svg = sparkline(thinned(values, points), width=160, height=28)
        encoded = base64.b64encode(svg.encode("utf-8")).decode("ascii")
        text = f"![{label}](data:image/svg+xml;base64,{encoded})"
        if len(text) < INLINE_LIMIT:
            return text
    raise ValueError(f"no sparkline of {label!r} fits in {INLINE_LIMIT} characters: its label is too long")


def thinned(values: Sequence[float | None], points: int) -> list[float | None]:
    """At most `points` (at least 2) of the values, evenly spaced, with the first and the last."""
    if len(values) <= points:
        return list(values)
    return [values[round(index * (len(values) - 1) / (points - 1))] for index in range(points)]
