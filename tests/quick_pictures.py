"""Figures that are made from the records but not painted: that is most of their time, and has tests of its own."""

from __future__ import annotations

import pytest

from claas_assets.evaluation import figures
from claas_assets.viewer import svg


def quick_pictures(patch: pytest.MonkeyPatch) -> None:
    """For this process, of PNG files and of figures in a page."""
    patch.setattr(figures, "_png", lambda _: b"\x89PNG")
    patch.setattr(svg, "_raw_svg", lambda *_: b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>')
