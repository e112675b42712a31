"""The items of a list in an answer, whichever way it is written."""

from collections.abc import Iterable

import regex

from claas_assets.evaluation.preferences.markdown import HEADING, ITEM, RULE, count_words, plain_line

_NUMBER = regex.compile(r"(?<![\w.])(?P<number>\d{1,3})[.):]\**(?=\s)")
_SEPARATOR = regex.compile(r"[,;、，؛،•→|]|\s[/–—-]\s|\s(?:and|or|y|und|et|e)\s|(?<=\p{L}\p{L})/(?=\p{L}\p{L})")
_CONJUNCTION = regex.compile(r"^(?:and|or|y|und|et)\s+")
_SPEECH = regex.compile(
    r"""^\W*(?:sure\b(?!\w)|of\scourse|certainly|absolutely|here\s(?:are|is|you|they|we|goes)|here['’]s|below|these\s(?:are|were)
        |those\s(?:are|were)|that['’]?s?\s(?:is|all|it)\b|i\s?(?:hope|['’]m|can|have|will|['’]ll|trust)\b|hope\s|let\sme\sknow|enjoy\b
        |feel\sfree|thank|please\b|if\syou|you['’]re\swelcome|good\sluck|have\s(?:a|fun)|would\syou\slike|anything\selse|any\squestions
        |there\syou|bon\sapp|happy\sto|do\syou\s(?:want|need)|need\s(?:any)?more|the\s(?:following|list|end)\b)""",
    regex.VERBOSE | regex.IGNORECASE,
)
_ENDS_AS_SPEECH = regex.compile(r"[.!?][\"'”’)*_]*$")
_WORDS = regex.compile(r"\p{N}+|[\p{L}\p{M}'’]+|\p{Emoji_Presentation}")
_TELLS = regex.compile(r"\b(?:I|you|he|she|it|we|they|is|are|was|were|has|have)\b", regex.IGNORECASE)
_NUMBER_NAMES = frozenset({
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "and",
})  # fmt: skip
_STEP = regex.compile(r"^\W*step\s\d{1,3}\s?[:.)-]", regex.IGNORECASE)
_SELECTORS = regex.compile(r"[\uFE0E\uFE0F\u20E3]")
_PICTURE = regex.compile(r"\p{Emoji_Presentation}|\uFE0F")
_TITLE = regex.compile(
    r"^(?:(?:my |the |some )?(?:list of|top)\b"
    r"|(?:\d{1,3}|two|three|four|five|six|seven|eight|nine|ten|twelve|some|many)\s\p{L}+(?:\s\p{L}+){0,3}s$)",
    regex.IGNORECASE,
)
_COUNTING = regex.compile(r"\d++(?:[\s,.;:→>–-]++\d++)++[\s.!]*+")
# Words that make no other item: ten "apples" in other colors are one.
_VARIATION = frozenset({
    "a", "an", "the", "another", "other", "more", "one", "two", "three", "four", "five", "six", "seven", "eight",
    "nine", "ten", "first", "second", "third", "some", "red", "green", "yellow", "blue", "orange", "purple", "pink",
    "brown", "black", "white", "golden", "silver", "grey", "gray", "dark", "light", "bright", "big", "small", "large",
    "little", "tiny", "huge", "giant", "mini", "fresh", "ripe", "raw", "juicy", "sweet", "sour", "tasty", "delicious",
    "nice", "good", "great", "sliced", "chopped", "dried", "frozen", "cooked", "baked", "whole", "half", "old", "new",
    "young", "best", "also", "again", "of", "and",
})  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the"})
# What begins an amount of something, not a step.
_AMOUNT = regex.compile(
    r"""^\W*(?:[\d½¼¾⅓⅔⅛]|(?:an?|one|two|three|four|five|six|half|some|few)\s+(?:pinch|cup|tea|table|table?spoon|egg|dash|bit
        |large|small|medium|handful|slice|piece|bag|can|stick|drop|splash|ripe|fresh|of)|(?:pinch|dash|handful|cups?|tbsp|tsp)\b)
      |\bto\s+taste\W*$|^\W*ingredients?\b""",
    regex.VERBOSE | regex.IGNORECASE,
)


def list_items(text: str) -> list[str]:
    """The different items of the list in `text`, in order.

    Tried in turn, the first that finds two or more: numbers that count up from 1 (on lines of their own or
    in a row, "Day 1:" too), other marked lines (the outermost level), lines, numbers in a row ("1 2 3"), and
    the parts of the longest line between commas, "and", slashes or bullets. Lines in which the writer speaks
    ("Here are ten:", "Hope it helps!") are none. An item that was there before is not another, nor is one
    that differs by its case, number, plural, color or size alone, and one of marks alone is none.
    """
    for items in (_numbered(text), _marked(text), _lines(text), _counting(text), _in_a_row(text)):
        plain = [item for item in map(plain_line, items) if item]
        if len(items) > 1:
            return different_items(plain)
    return []


def list_steps(text: str) -> list[str]:
    """The different steps among the marked lines of `text`, whichever list they are in.

    A step has three words or more, or a full stop ("Stir."), and does not begin with an amount: "2 cups of
    flour" is an ingredient.
    """
    marked = [line for line in text.splitlines() if ITEM.match(line) or _STEP.match(line)] or _numbered(text)
    lines = [part for line in marked for part in _NUMBER.sub("\n", f" {_STEP.sub('', line)}").split("\n")]
    steps = [line for line in map(plain_line, lines) if _is_step(line)]
    return different_items(steps)


def _is_step(line: str) -> bool:
    words = count_words(line)
    return (words >= 3 or (words > 0 and line.endswith((".", "!")))) and not _AMOUNT.search(line)


def different_items(items: Iterable[str]) -> list[str]:
    """The first of each kind. An item that has all the words of an earlier one-word item is of its kind."""
    kept: dict[tuple[str, ...], str] = {}
    for item in items:
        key = _key(item)
        if key and key not in kept and not (1 < len(key) <= 3 and {key[:1], key[-1:]} & kept.keys()):
            kept[key] = item
    return list(kept.values())


def _key(item: str) -> tuple[str, ...]:
    """The words that tell an item from another."""
    words = [_singular(word) for word in _WORDS.findall(_SELECTORS.sub("", item.casefold()))]
    first = [word for word in words[:-1] if word not in _VARIATION and not word.isdigit()]
    last = [
        word for word in words[-1:] if not (first and word not in _ARTICLES and (word in _VARIATION or word.isdigit()))
    ]
    telling = (*first, *last)
    return telling or tuple(words) or ((item.casefold(),) if _PICTURE.search(item) else ())


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _numbered(text: str) -> list[str]:
    marks: list[regex.Match[str]] = []
    for mark in _NUMBER.finditer(text):
        if int(mark["number"]) == len(marks) + 1:
            marks.append(mark)
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=False)]
    return [part.split("\n", 1)[0] for part in parts]


def _marked(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if ITEM.match(line)]
    outermost = min((_indent(line) for line in lines), default=0)
    return [line for line in lines if _indent(line) == outermost]


def _lines(text: str) -> list[str]:
    """Lines that are neither a heading nor speech about the list; none where they are paragraphs."""
    lines = [line for line in text.splitlines() if line.strip() and not RULE.match(line)]
    lines = [line for line in lines if not HEADING.match(line) and not line.rstrip(" *").endswith(":")]
    if len(lines) > 2 and (_TITLE.match(lines[0]) or _is_bold(lines[0]) > _is_bold(lines[1])):
        lines = lines[1:]
    ended = sum(map(_ends_as_speech, lines))
    if lines and (_SPEECH.match(lines[0]) or (len(lines) > 2 and ended == 1 and _ends_as_speech(lines[0]))):
        lines = lines[1:]
    if lines and (_SPEECH.match(lines[-1]) or (len(lines) > 2 and ended <= 2 and _ends_as_speech(lines[-1]))):
        lines = lines[:-1]
    return lines


def _is_bold(line: str) -> bool:
    return line.strip().startswith("**") and line.strip().endswith("**")


def _ends_as_speech(line: str) -> bool:
    return count_words(line) > 2 and _ENDS_AS_SPEECH.search(line[-10:]) is not None


def _counting(text: str) -> list[str]:
    if _COUNTING.fullmatch(text.strip()):
        return regex.findall(r"\d+", text)
    words = regex.findall(r"\p{L}+", text.casefold())
    return words if words and all(word in _NUMBER_NAMES for word in words) else []


def _in_a_row(text: str) -> list[str]:
    longest = max(text.splitlines(), key=len, default="")
    after_lead_in = " ".join(longest.rsplit(":", 1)[-1].split()).strip(" .!")
    items = [_CONJUNCTION.sub("", item) for part in _SEPARATOR.split(after_lead_in) if (item := part.strip())]
    tales = sum(_TELLS.search(item) is not None for item in items)
    return [] if 2 * tales > len(items) else items  # the clauses of a sentence are no list


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
