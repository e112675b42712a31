"""The figures as inline SVG: text as text, colors that follow the page, and nothing in it but shapes.

A strict Content-Security-Policy forbids style attributes and style elements, so what matplotlib writes there
becomes presentation attributes; the page's style sheet overrides them by value in the dark.
"""

import re
import threading
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from claas_assets.evaluation.comparison.sweeps import SweepComparison
from claas_assets.evaluation.figures.series import runs_of
from claas_assets.evaluation.runs.catalog import preference_names
from claas_assets.evaluation.storage.stamps import Stamp
from claas_assets.viewer.loading import load_preference, stamps_of
from claas_assets.viewer.text import plain

TITLES = {
    "learning_curves": "Does it do what the user asked?",
    "margins": "Does the model favor the preferred answer?",
    "collapse": "Has it degenerated?",
    "capability": "Is it still able?",
    "sdpo": "What did the engine report?",
}
"""In the order of a page, which is that of the questions."""

_LABELS = {**TITLES, "dose": "Dose and response"}

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_TAGS = {"svg", "g", "path", "text", "tspan", "defs", "clipPath", "rect", "use", "circle", "polygon", "polyline"}
_PLACES = {"d", "x", "y", "width", "height", "viewBox", "transform", "points", "cx", "cy", "r", "clip-path", "id"}
_STYLES = {
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-dashoffset",
    "stroke-linecap", "stroke-linejoin", "opacity", "font-size", "font-weight", "font-style", "text-anchor",
}  # fmt: skip
_SCALE = 1.25  # of matplotlib's points to pixels of a page: its smallest text is then 11 pixels high
_INK = {"#1a1a1a": "currentColor", "#000000": "currentColor"}
_LONG_NUMBER = re.compile(r"(\d+\.\d{2})\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")
_drawing = threading.Lock()  # matplotlib's settings are global


def figure_svg(run_folder: Path, name: str) -> str:
    """A figure of `FIGURES`, drawn from the files as they are; empty where there is nothing to draw."""
    stamps = tuple((preference, stamps_of(run_folder / preference)) for preference in preference_names(run_folder))
    return _figure_svg(run_folder, name, stamps)


@lru_cache(maxsize=64)
def _figure_svg(run_folder: Path, name: str, stamps: tuple[tuple[str, tuple[Stamp | None, ...]], ...]) -> str:
    preferences = [load_preference(run_folder / preference) for preference, files in stamps if any(files)]
    runs = runs_of(
        {r.name: r.scores for r in preferences if r.scores is not None and r.scores.states},
        {r.name: r.verdict for r in preferences if r.verdict is not None},
    )
    if not runs:
        return ""
    with _drawing:
        drawing = getattr(import_module(f"claas_assets.evaluation.figures.{name}"), f"{name}_figure")
        return clean_svg(_raw_svg(drawing(runs), name), name)


def dose_response_svg(sweep: SweepComparison, criterion: str, key: str | None) -> str:
    """`key` is the swept key on the x axis; None: the one with most values. Raises `ConfigError` without any."""
    from claas_assets.evaluation.comparison.dose_response import dose_response_figure

    with _drawing:
        return clean_svg(_raw_svg(dose_response_figure(sweep, criterion, key), "dose"), "dose")


def _raw_svg(figure: Any, name: str) -> bytes:
    import matplotlib  # 0.5 s, and only where a picture is drawn
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    for artist in (figure, *figure.axes):
        artist.patch.set(facecolor="none", edgecolor="none")  # the page is its paper
    buffer = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # not `savefig`: see `figures.draw`
    return buffer.getvalue()


def clean_svg(source: bytes, name: str) -> str:
    """The same picture from known elements and attributes alone, its ids prefixed with the figure's name."""
    root = ElementTree.fromstring(source)
    # In the order of their use: matplotlib's own ids hold addresses of memory, and differ from run to run.
    used = dict.fromkeys(match for e in root.iter() for value in e.attrib.values() for match in _refs(value))
    clean = _cleaned(root, {match: f"{name}-{number}" for number, match in enumerate(used)})
    assert clean is not None  # the root is an svg element
    width = clean.attrib.get("viewBox", "0 0 600 0").split()[2]
    clean.attrib.pop("height", None)  # follows from the width and the view box
    clean.attrib |= {
        "xmlns": _SVG, "class": "figure", "width": f"{float(width) * _SCALE:.0f}", "role": "img",
        "aria-label": _LABELS.get(name, name), "font-family": "DejaVu Sans, Verdana, sans-serif",
        "stroke-linejoin": "round",
    }  # fmt: skip
    return ElementTree.tostring(clean, encoding="unicode")


def _refs(value: str) -> list[str]:
    return _REFERENCE.findall(value) if "url(#" in value or value.startswith("#") else []


def _cleaned(element: ElementTree.Element, ids: dict[str, str]) -> ElementTree.Element | None:
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _TAGS:
        return None
    clean = ElementTree.Element(tag, _attributes(element, ids))
    clean.text = plain(element.text or "") if tag in ("text", "tspan") else None
    children = [child for e in element if (child := _cleaned(e, ids)) is not None]
    if tag == "g" and not clean.attrib and len(children) == 1:
        return children[0]  # matplotlib groups every line by itself
    clean.extend(children)
    for child, original in zip(children, element, strict=False):
        child.tail = plain(original.tail or "") if tag == "text" else None
    return clean if children or clean.text or tag not in ("g", "defs") else None


def _attributes(element: ElementTree.Element, ids: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in element.attrib.items():
        if name == "style":
            kept |= _declarations(value)
        elif name == _HREF and value[1:] in ids:
            kept["href"] = f"#{ids[value[1:]]}"
        elif name == "id" and value in ids:
            kept["id"] = ids[value]
        elif name == "clip-path" and (reference := _REFERENCE.search(value)) and reference.group(1) in ids:
            kept[name] = f"url(#{ids[reference.group(1)]})"
        elif name in _PLACES - {"id"}:
            kept[name] = _LONG_NUMBER.sub(r"\1", " ".join(value.split()))
        elif name in _STYLES:
            kept[name] = _INK.get(value.lower(), value)
    return kept


def _declarations(style: str) -> dict[str, str]:
    pairs = (part.partition(":")[::2] for part in style.split(";") if ":" in part)
    styles = {name.strip(): value.strip() for name, value in pairs}
    return {name: _INK.get(value.lower(), value.lower()) for name, value in styles.items() if name in _STYLES}
