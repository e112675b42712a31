"""Reading an answer as a person would: Markdown taken away, sentences and words counted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import regex
import sentencex

_FENCE = regex.compile(r"^\s*(?P<mark>`{3,}|~{3,})")
_QUOTE = regex.compile(r"^\s*(?:>\s?)+")
_HEADING = regex.compile(r"^\s*#{1,6}\s+")
_ITEM = regex.compile(r"^\s*(?:[-*+•‣◦▪–]|\(?\d{1,3}[.)]|\(?[A-Za-z]\))\s+(?:\[[ xX]\]\s+)?")
_RULE = regex.compile(r"^\s*(?:(?:[-*_=]\s*){3,}|\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?)$")
# Spans are bounded: a model that repeats "**a" for ever must not make the search quadratic.
_IMAGE_OR_LINK = regex.compile(r"!?\[(?P<text>[^\]\[]{0,300})\]\([^)\s]{0,2000}(?:\s+\"[^\"]{0,300}\")?\)")
_EMPHASIS = regex.compile(r"(?<![\w*])(?P<mark>\*{1,3}|__)(?=\S)(?P<text>.{1,300}?)(?<=\S)(?P=mark)(?!\w)")
_CODE_SPAN = regex.compile(r"(?<!`)(?P<mark>`{1,2})(?P<text>[^`]{1,300})(?P=mark)(?!`)")
_NUMBER_ALONE = regex.compile(r"^\(?\d{1,3}[.)]$")
_ENDS_SENTENCE = regex.compile(r"[.!?…:。！？][\"'”’)\]*_]*$")
_LIST_NUMBER = regex.compile(r"(?<![\w.])(?P<number>\d{1,3})[.):](?=\s)\**\s+")
_MARKS_IN_A_ROW = regex.compile(r"([!?])[!?]+")
_LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
# A script written without spaces has no word boundaries to see: each of its characters is one word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(
    rf"[{_UNSPACED}]|(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+(?:['’.,\-](?=[\p{{L}}\p{{N}}])[\p{{L}}\p{{M}}\p{{N}}]+)*"
)


class Block(NamedTuple):
    """A part of an answer that stands on lines of its own."""

    text: str
    """Without Markdown marks; the lines of code as they are, without the fences."""

    is_code: bool
    """Whether it is a fenced code block."""


def blocks(text: str) -> list[Block]:
    """The parts of a Markdown answer that stand on lines of their own, without their marks.

    A paragraph, a heading, a list item, a table row and a fenced code block (whole) are one block
    each; rules and table separators are none. Inside a paragraph a line break ends the block unless
    the next line begins in lower case: models that break lines mean it, few wrap at 80 columns.
    """
    parts_in_order: list[Block] = []
    for is_code, group in groupby(_lines_with_fences(text), key=lambda pair: pair[0]):
        lines = [line for _, line in group]
        parts = ["\n".join(lines).strip()] if is_code else _prose_blocks(lines)
        parts_in_order.extend(Block(part, is_code) for part in parts if part)
    return parts_in_order


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of `text`; a block without a full stop is one, too (see `blocks`).

    So a heading, a list item or a line of verse counts once however it ends, a list item of two
    sentences counts twice, and a fenced code block counts once. What has neither letter nor digit
    (a row of emoji, "…") is no sentence. A run of "!" and "?" is returned as its first character:
    `sentencex` does not see the end of "Hi!! I am".

    Inside a block `sentencex` finds the ends. It was compared with the pattern `(?<=[.!?])\\s+` on the
    table of `test_markdown.py` in the tests: with the blocks above it is right on all of its cases, the pattern
    on half. Abbreviations ("e.g.", "Dr. Smith", "p.m. yesterday", "the U.S. and"), initials, ellipses,
    quotations, "。" and Markdown are where the pattern errs. `sentencex` errs, and a test says so, on a
    one-letter end ("Option A. Option B." is one sentence), a rare abbreviation ("approx. 5 km" is two)
    and a sentence in brackets ("(It is.) Yes." is one).
    """
    parts: list[str] = []
    for block in blocks(text):
        if block.is_code:
            parts.append(block.text)
        else:
            # Half of a surrogate pair, which JSON can carry, is nothing that `sentencex` could be given.
            whole = block.text.encode("utf-8", "replace").decode("utf-8")
            shortened = _MARKS_IN_A_ROW.sub(r"\1", whole)
            parts.extend(part.strip() for part in sentencex.segment(language, shortened))
    return [part for part in parts if _LETTER_OR_DIGIT.search(part) and not _NUMBER_ALONE.match(part)]


def count_words(text: str) -> int:
    """The number of words: runs of letters and digits ("don't", "3.5" and "well-known" are one each);
    in scripts without spaces (Chinese, Japanese, Thai, …) each character."""
    return len(_WORD.findall(strip_markdown(text)))


def list_items(text: str) -> list[str]:
    """The distinct items of the list in `text`, in order, whichever way it is written.

    Tried in turn, the first that finds two or more: numbers that count up from 1 (on lines of their
    own or in a row, "Day 1:" too), other marked lines (the outermost level), lines, and the parts of
    the longest line between commas. An item that was there before, whatever its case, is not another,
    and one of marks alone is none.
    """
    for items in (_numbered(text), _marked(text), _lines(text), _comma_separated(text)):
        plain = [item for item in map(_plain, reversed(items)) if item]
        if len(items) > 1:
            return list({item.casefold(): item for item in plain}.values())[::-1]
    return []


def strip_markdown(text: str) -> str:
    """The text alone, one block a line (the lines of code as they are)."""
    return "\n".join(block.text for block in blocks(text))


def _lines_with_fences(text: str) -> Iterator[tuple[bool, str]]:
    """(is it code, line) without the fence lines; an unclosed fence runs to the end, as in Markdown."""
    fence: str | None = None
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence is None and mark:
            fence = mark["mark"]
        elif fence is not None and line.strip().startswith(fence) and not line.strip(" `~\t"):
            fence = None
            yield False, ""  # two code blocks in a row stay two
        else:
            yield fence is not None, line


def _prose_blocks(lines: list[str]) -> Iterator[str]:
    paragraph = ""
    for raw in lines:
        line = _QUOTE.sub("", raw)
        plain = "" if _RULE.match(line) else _plain(line)
        starts_block = _HEADING.match(line) or _ITEM.match(line)
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
    return _EMPHASIS.sub(r"\g<text>", line).strip()


def _numbered(text: str) -> list[str]:
    marks: list[regex.Match[str]] = []
    for mark in _LIST_NUMBER.finditer(text):
        if int(mark["number"]) == len(marks) + 1:
            marks.append(mark)
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=False)]
    return [part.split("\n")[0] for part in parts]


def _marked(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if _ITEM.match(line)]
    outermost = min((_indent(line) for line in lines), default=0)
    return [line for line in lines if _indent(line) == outermost]


def _lines(text: str) -> list[str]:
    """Lines that are neither a heading nor the sentence that announces what follows."""
    lines = [line for line in text.splitlines() if line.strip() and not _RULE.match(line)]
    return [line for line in lines if not _HEADING.match(line) and not line.rstrip(" *").endswith(":")]


def _comma_separated(text: str) -> list[str]:
    longest = max(text.splitlines(), key=len, default="")
    after_lead_in = longest.rsplit(":", 1)[-1].strip(" .!")
    return regex.split(r"\s*[,;、，]\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", after_lead_in)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
