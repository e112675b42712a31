"""Reading an answer as a person would: Markdown taken away, sentences and words counted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import regex
import sentencex

_FENCE = regex.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,})")
_QUOTE = regex.compile(r"^\s*(?:>\s?)+")
_HEADING = regex.compile(r"^\s*#{1,6}\s+")
_ITEM = regex.compile(r"^\s*(?:[-*+•‣◦▪–]|\(?\d{1,3}[.)]|\(?[A-Za-z][)])\s+(?:\[[ xX]\]\s+)?")
_RULE = regex.compile(r"^\s*(?:(?:[-*_=]\s*){3,}|\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?)$")
_IMAGE_OR_LINK = regex.compile(r"!?\[(?P<text>[^\]]*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
_EMPHASIS = regex.compile(r"(?<![\w*])(?P<mark>\*{1,3}|__)(?=\S)(?P<text>.+?)(?<=\S)(?P=mark)(?!\w)")
_CODE_SPAN = regex.compile(r"(?P<mark>`+)(?P<text>.+?)(?P=mark)")
_NUMBER_ALONE = regex.compile(r"^\(?\d{1,3}[.)]$")
_ENDS_SENTENCE = regex.compile(r"[.!?…:。！？][\"'”’)\]*_]*$")
_LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
# A script written without spaces has no word boundaries to see: each of its characters is one word.
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])[\p{L}\p{M}\p{N}])+"
    r"(?:['’.,\-](?=[\p{L}\p{N}])[\p{L}\p{M}\p{N}]+)*"
)


def blocks(text: str) -> list[str]:
    """The parts of a Markdown answer that stand on lines of their own, without their marks.

    A paragraph, a heading, a list item, a table row and a fenced code block (whole) are one block
    each; rules and table separators are none. Inside a paragraph a line break ends the block unless
    the next line begins in lower case: models that break lines mean it, few wrap at 80 columns.
    """
    found: list[str] = []
    for is_code, group in groupby(_lines_with_fences(text), key=lambda pair: pair[0]):
        lines = [line for _, line in group]
        if is_code:
            found.append("\n".join(lines).strip())
        else:
            found.extend(_prose_blocks(lines))
    return [block for block in found if block]


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of `text`; each block without a full stop is one (see `blocks`).

    So a heading, a list item or a line of verse counts once however it ends, an item of two
    sentences counts twice, and a fenced code block counts once. What has neither letter nor digit
    (a row of emoji, "…") is no sentence. `sentencex` finds the ends inside a block: abbreviations,
    decimals, versions, URLs, ellipses and "?!" do not mislead it, and "。" ends a sentence too.
    """
    found: list[str] = []
    for block in blocks(text):
        if "\n" in block:
            found.append(block)  # code
            continue
        found.extend(part.strip() for part in sentencex.segment(language, block))
    return [part for part in found if _LETTER_OR_DIGIT.search(part) and not _NUMBER_ALONE.match(part)]


def count_words(text: str) -> int:
    """Words: runs of letters and digits ("don't", "3.5", "well-known" are one); of scripts without
    spaces (Chinese, Japanese, Thai, …) each character."""
    return len(_WORD.findall("\n".join(blocks(text))))


def strip_markdown(text: str) -> str:
    """The text alone, one block a line (the lines of code as they are)."""
    return "\n".join(blocks(text))


def _lines_with_fences(text: str) -> Iterator[tuple[bool, str]]:
    """(is it code, line) without the fence lines; an unclosed fence runs to the end, as in Markdown."""
    fence: str | None = None
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence is None and mark:
            fence = mark["mark"]
        elif fence is not None and line.strip().startswith(fence) and not line.strip(" `~"):
            fence = None
            yield False, ""  # two code blocks in a row stay two
        else:
            yield fence is not None, line


def _prose_blocks(lines: list[str]) -> Iterator[str]:
    paragraph = ""
    for raw in lines:
        line = _QUOTE.sub("", raw)
        starts_block = _HEADING.match(line) or _ITEM.match(line) or _RULE.match(line)
        plain = "" if _RULE.match(line) else _plain(line)
        continues = bool(paragraph and plain and not starts_block and plain[0].islower())
        if continues and not _ENDS_SENTENCE.search(paragraph):
            paragraph = f"{paragraph} {plain}"
            continue
        yield paragraph
        paragraph = plain
    yield paragraph


def _plain(line: str) -> str:
    """One line without heading, item, table, link, emphasis and code marks."""
    line = _HEADING.sub("", line)
    line = _ITEM.sub("", line)
    if line.strip().startswith("|"):
        line = " ".join(cell.strip() for cell in line.strip().strip("|").split("|"))
    line = _IMAGE_OR_LINK.sub(r"\g<text>", line)
    line = _CODE_SPAN.sub(r"\g<text>", line)
    line = _EMPHASIS.sub(r"\g<text>", line)
    return line.strip()
