"""Reading an answer as a person would: Markdown taken away, sentences and words counted."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import regex
import sentencex

_FENCE = regex.compile(r"^\s*(?P<mark>`{3,}|~{3,})")
_QUOTE = regex.compile(r"^\s*(?:>\s?)+")
HEADING = regex.compile(r"^\s*#{1,6}\s+")
ITEM = regex.compile(r"^\s*(?:[-*+•‣◦▪–]|\(?\d{1,3}[.)]|\(?[A-Za-z]\))\s+(?:\[[ xX]\]\s+)?")
RULE = regex.compile(r"^\s*+(?:(?:[-*_=]\s*+){3,}+|\|?+(?:\s*+:?+-++:?+\s*+\|)++\s*+(?::?+-++:?+\s*+)?+)$")
# Spans are bounded: a model that repeats "**a" for ever must not make the search quadratic.
_IMAGE_OR_LINK = regex.compile(r"!?\[(?P<text>[^\]\[]{0,300}+)\]\([^)\s]{0,300}+(?:\s{1,9}+\"[^\"]{0,300}+\")?\)")
_EMPHASIS = regex.compile(r"(?<![\w*])(?P<mark>\*{1,3}|__)(?=\S)(?P<text>.{1,300}?)(?<=\S)(?P=mark)(?!\w)")
_CODE_SPAN = regex.compile(r"(?<!`)(?P<mark>`{1,2})(?P<text>[^`]{1,300})(?P=mark)(?!`)")
_NUMBER_ALONE = regex.compile(r"^\(?\d{1,3}[.)]$")
_ENDS_SENTENCE = regex.compile(r"[.!?…:。！？][\"'”’)\]*_]*$")
_MARKS_IN_A_ROW = regex.compile(r"([!?])[!?]++")
_SPACES = regex.compile(r"[^\S\n]{2,}+")
# What `sentencex` does not see (`sentences`): an end that it misses …
_MISSED_END = regex.compile(
    r"""(?:(?<=[.!?。！？][)\]])|(?<=\betc\.)
         |(?<=\b(?:option|step|part|plan|type|class|group|section|team|grade|choice|answer|figure|phase|level)\ [A-Z]\.)
        )\ +(?=[("'“‘\[]?\p{Lu})""",
    regex.VERBOSE | regex.IGNORECASE,
)
# … and the full stop of an abbreviation, after which none is.
_ABBREVIATED = regex.compile(
    r"""(?:^|(?<=[\s(]))(?:approx|ca|est|max|min|avg|incl|excl|resp|dept|govt|dr|tel|ext|etc|mil|bn|cf|vol|pp?|ch|fig|eq|temp|jr|sr|esp
        |mon|tues?|thurs?|fri|jan|feb|mar|apr|aug|sept?|oct|nov|dec|viz|ft|oz|lbs?|[ckm]m|[km]g|ml|hrs?|mins?|secs?)\.$""",
    regex.VERBOSE | regex.IGNORECASE,
)
_CLOSED_CLASS = regex.compile(r"[\p{Ll}\d(]|No\?")
_LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
# A script written without spaces has no word boundaries to see: each of its characters is one word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(
    rf"[{_UNSPACED}]|(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]++(?:['’.,\-](?=[\p{{L}}\p{{N}}])[\p{{L}}\p{{M}}\p{{N}}]++)*+"
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

    Inside a block `sentencex` finds the ends (the tests' table compares it with a pattern). Three kinds that it misses
    are mended here: ends after brackets ("(It is.) Yes."), after "etc." and after a letter that names something
    ("Option A. Option B."), and abbreviations before a number or a small letter ("approx. 5 km"). Still wrong: an
    abbreviation that is in neither list ("the comm. said so" is two).
    """
    parts: list[str] = []
    for block in blocks(text):
        if block.is_code:
            parts.append(block.text)
        else:
            # Half of a surrogate pair, which JSON can carry, is nothing that `sentencex` could be given.
            whole = block.text.encode("utf-8", "replace").decode("utf-8")
            shortened = _MARKS_IN_A_ROW.sub(r"\1", _SPACES.sub(" ", whole))
            parts.extend(_mended(sentencex.segment(language, shortened)))
    return [part for part in parts if _LETTER_OR_DIGIT.search(part) and not _NUMBER_ALONE.match(part)]


def _mended(segments: Iterable[str]) -> list[str]:
    """What `sentencex` found, parted at the ends that it missed and joined where it took an abbreviation for one."""
    parts: list[str] = []
    for segment in segments:
        for piece in map(str.strip, _MISSED_END.split(segment)):
            if parts and _ABBREVIATED.search(parts[-1][-12:]) and _CLOSED_CLASS.match(piece):
                parts[-1] = f"{parts[-1]} {piece}"
            else:
                parts.append(piece)
    return parts


def count_words(text: str) -> int:
    """The number of words: runs of letters and digits ("don't", "3.5" and "well-known" are one each);
    in scripts without spaces (Chinese, Japanese, Thai, …) each character."""
    return len(_WORD.findall(strip_markdown(text)))


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
    paragraph: list[str] = []
    for raw in lines:
        line = _QUOTE.sub("", raw)
        plain = "" if RULE.match(line) else plain_line(line)
        starts_block = HEADING.match(line) or ITEM.match(line)
        continues = bool(paragraph and plain and not starts_block and plain[0].islower())
        if continues and not _ENDS_SENTENCE.search(paragraph[-1][-20:]):
            paragraph.append(plain)
            continue
        yield " ".join(paragraph)
        paragraph = [plain] if plain else []
    yield " ".join(paragraph)


def plain_line(line: str) -> str:
    """One line without heading, item, table, link, emphasis and code marks."""
    line = HEADING.sub("", line)
    line = ITEM.sub("", line)
    if line.strip().startswith("|"):
        line = " ".join(cell.strip() for cell in line.strip().strip("|").split("|"))
    line = _IMAGE_OR_LINK.sub(r"\g<text>", line)
    line = _CODE_SPAN.sub(r"\g<text>", line)
    return _EMPHASIS.sub(r"\g<text>", line).strip()
