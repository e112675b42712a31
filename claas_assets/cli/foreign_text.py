"""The one door to the terminal for foreign text: names, reasons, answers, and errors that quote them."""

import sys

from rich.text import Text

from claas_assets.evaluation.terminal_text import one_line


def lines(text: str) -> str:
    """Each line of a message as a terminal may show it; lines keep their indent."""
    shown = [(line, one_line(line)) for line in text.split("\n")]
    return "\n".join(" " * (len(line) - len(line.lstrip(" "))) + clean for line, clean in shown)


def say(text: str) -> None:
    """To the error output."""
    print(lines(text), file=sys.stderr)


def cut(text: str, limit: int) -> str:
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cell(text: str, limit: int = 400, style: str = "") -> Text:
    """For a table: never read as rich's markup."""
    return Text(cut(text, limit), style=style)
