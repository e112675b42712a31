"""The code that an answer gives, however it gives it."""

import re
from textwrap import dedent

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)")
_CODE_STARTS = re.compile(r"^(?:def|class|from|import|async|@)\b|^@")
_CODE_GOES_ON = re.compile(
    r"^(?:$|[ \t]|[#@)\]}]|(?:def|class|from|import|if|for|while|else|elif|try|except|finally|with|return|async)\b"
    r"|[A-Za-z_][\w.\[\]]*[ \t]*(?:\(|[-+*/]?=|:))"
)
_INLINE = re.compile(r"`([^`\n]{1,2000})`|<code>([^<]{1,2000})</code>")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.) ?", re.MULTILINE)


def code_candidates(answer: str) -> tuple[str, ...]:
    """The readings of an answer as Python source, the likeliest first; which one parses is for the sandbox.

    All fenced blocks together (a helper may stand in one of its own), then each alone, the last first (it
    is the final version), then the answer without its prose; each also without its last, perhaps cut,
    statement.
    """
    answer = _PROMPT.sub("", answer)
    fenced = _fenced(answer)
    inline = [span for pair in _INLINE.findall(answer) for span in pair if "def " in span or "lambda" in span]
    readings = [
        "\n\n".join(fenced),
        *reversed(fenced),
        _lines_of_code(answer),
        _lines_of_code(_dedented(answer)),
        answer,
        *reversed(inline[-5:]),
    ]
    readings += [_without_last_statement(reading) for reading in readings]
    return tuple(dict.fromkeys(reading for reading in readings if reading.strip()))


def _fenced(answer: str) -> list[str]:
    """The contents of the code fences, dedented; one that is not closed runs to the end."""
    found: list[str] = []
    inside = False
    for line in answer.split("\n"):
        if _FENCE.match(line):
            inside = not inside
            if inside:
                found.append("")
        elif inside:
            found[-1] += f"{line}\n"
    return [dedent(block) for block in found if block.strip()]


def _lines_of_code(answer: str) -> str:
    """From the first line that begins a definition or an import to the first that cannot be code."""
    kept: list[str] = []
    for line in answer.split("\n"):
        if not _FENCE.match(line) and (_CODE_GOES_ON if kept else _CODE_STARTS).match(line):
            kept.append(line)
        elif kept:
            break
    return "\n".join(kept)


def _dedented(answer: str) -> str:
    """The answer with its indented code blocks (four blanks, as in Markdown) at the margin."""
    lines = answer.split("\n")
    begins = next((number for number, line in enumerate(lines) if _CODE_STARTS.match(line.lstrip())), len(lines))
    margin = len(lines[begins]) - len(lines[begins].lstrip()) if begins < len(lines) else 0
    return "\n".join(line[margin:] if not line[:margin].strip() else line for line in lines[begins:])


def _without_last_statement(source: str) -> str:
    lines = source.rstrip().split("\n")
    starts = [number for number, line in enumerate(lines) if line[:1].strip()]
    return "\n".join(lines[: starts[-1]]) if starts else ""
