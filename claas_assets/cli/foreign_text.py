"""Foreign text (names, reasons, answers) as a terminal may show it, cut where it is long."""

from __future__ import annotations

from rich.text import Text

from claas_assets.evaluation.terminal_text import one_line


def cut(text: str, limit: int) -> str:
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cell(text: str, limit: int = 400, style: str = "") -> Text:
    """For a table: never read as rich's markup."""
    return Text(cut(text, limit), style=style)
