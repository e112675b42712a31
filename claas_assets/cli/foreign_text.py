"""The one door to the terminal for foreign text: names, reasons, answers, and errors that quote them."""

import io
import os
import sys
from typing import Any

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


def unbreakable_output() -> None:
    """What this process prints never ends it: hours of training are not lost to `| head`, or to a character.

    Where the terminal cannot show a character, it shows "?". Where nobody reads any more, or the disk behind it
    is full, nothing more is shown, and the error output says so once.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us (`>&-`)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
            continue
        try:
            outlet = io.BufferedWriter(_Outlet(stream.fileno(), "w", closefd=False))
        except (AttributeError, OSError):  # a test's or a notebook's: no file is behind it
            continue
        at_once = stream.line_buffering or name == "stderr"
        setattr(sys, name, io.TextIOWrapper(outlet, stream.encoding, errors="replace", line_buffering=at_once))


class _Outlet(io.FileIO):
    """A file descriptor for output; once it cannot be written to, everything goes to the null device."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self.fileno() == 1:
                say(f"claas-eval: the output can no longer be written to ({error.strerror}); the work goes on")
            return len(data)
