"""Texts as tokens in any script, and whether a text only repeats itself: what a broken model says for an answer."""

from collections.abc import Sequence
from itertools import pairwise

import regex

# A script written without spaces has no word boundaries to see: each of its characters is a token.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(rf"(?V1)[{_UNSPACED}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]++|[^\s\p{{L}}\p{{M}}\p{{N}}]")
_JOINERS = regex.compile(r"[\u200D\uFE0E\uFE0F\u20E3\U0001F3FB-\U0001F3FF]")
"""What joins or colors emoji: without them, an emoji and its variants are one token."""
_SPOKEN = regex.compile(r"[\p{L}\p{M}\p{N}\p{So}\p{Sk}]")
_LETTERS = regex.compile(r"[\p{L}\p{M}]+")

MAX_REPEATED = 0.5
"""Share of 4-grams that repeat an earlier one, above which a text is a loop."""

MAX_PERIOD = 20
"""Tokens: the longest unit whose repetition is looked for at the end of a text."""

MIN_TOKENS = 8
"""Shorter texts are no loops ("yes, yes") unless they say one token, or two in turn, and nothing else."""

MIN_SAME, MIN_IN_TURN = 4, 6
"""Tokens of such a short loop: of one token, and of two."""

LONG_TAIL, MIN_COPIES = 24, 4
"""Tokens at the end that are so many copies of one unit: a loop, however much was said before."""

LONGEST_WORD = 40
"""Letters. A longer word is read letter by letter: "aaaa…" is one word, and a loop."""

MAX_LOOKED_AT = 20_000
"""Characters: a longer text is judged by its beginning."""


def tokenize(text: str) -> list[str]:
    """Lower-case words, characters of unspaced scripts, and marks ("!", "🎉") one by one.

    >>> tokenize("It's 3 pm!!")
    ['it', "'", 's', '3', 'pm', '!', '!']
    """
    return [str(token) for token in _TOKEN.findall(text.lower())]


def repeats(text: str) -> str | None:
    """How `text` repeats itself, as what "it" does; None where it does not.

    Tokens are words, single characters of scripts without spaces, and single emoji; other marks count only
    where there is nothing else. Signs of a loop: more than half of the 4-grams were there before; the second
    half of the text, or its last 24 tokens, are copies of at most 20 tokens; more than half of the tokens equal
    the one before; all of three lines or more have the same letters. Numbers that count up by one
    ("Kuro 1, Kuro 2, …") and the last token, which may have been cut, hide no loop. Takes time in proportion
    to the text.
    """
    tokens = tokenize(_JOINERS.sub("", text[:MAX_LOOKED_AT]))
    spoken = [token for token in tokens if _SPOKEN.match(token)] or tokens
    uncounted = _without_counter(spoken)
    counted = _loop(uncounted) if len(uncounted) >= MIN_TOKENS else None
    return _loop(spoken) or counted or _endless_word(spoken) or _same_lines(text[:MAX_LOOKED_AT])


def _same_lines(text: str) -> str | None:
    lines = [letters for line in text.casefold().splitlines() if (letters := "".join(_LETTERS.findall(line)))]
    return f"says {lines[0][:40]!r} on each line" if len(lines) > 2 and len(set(lines)) == 1 else None


def different_words(text: str) -> float:
    """The share of words that differ from each other, in the first hundred; 1 where there is none.

    A paragraph of ordinary prose has 0.6 and more.
    """
    words = [token for token in tokenize(text) if _LETTERS.match(token)][:100]
    return len(set(words)) / len(words) if words else 1.0


def _loop(tokens: Sequence[str]) -> str | None:
    if len(tokens) >= MIN_SAME and len(set(tokens)) == 1:
        return f"says {tokens[0]!r} and nothing else, {len(tokens)} times"
    if len(tokens) < MIN_TOKENS:
        in_turn = len(tokens) >= MIN_IN_TURN and tokens[2:] == tokens[:-2]
        return f"says {' '.join(tokens[:2])!r} and nothing else" if in_turn else None
    grams = [tuple(tokens[start : start + 4]) for start in range(len(tokens) - 3)]
    share = 1 - len(set(grams)) / len(grams)
    if share > MAX_REPEATED:
        return f"repeats itself: {share:.0%} of its 4-grams were there before"
    doubled = sum(one == other and not one.isdecimal() for one, other in pairwise(tokens))  # not "1. 1, 2. 2, 3. 3"
    if doubled > (len(tokens) - 1) / 2:
        return "says most of its words twice in a row"
    period = _period_at_the_end(tokens) or _period_before_a_cut(tokens)
    return None if period is None else f"ends by repeating {' '.join(period)!r}"


def _period_before_a_cut(tokens: Sequence[str]) -> Sequence[str] | None:
    """As if the last token were not there, where it may be the cut beginning of the next copy, or the text is long."""
    period = _period_at_the_end(tokens[:-1])
    cut = period is not None and (len(tokens) >= LONG_TAIL or period[0].startswith(tokens[-1]))
    return period if cut else None  # "5, because 5 + 5 + 5 + 5 = 20" is no loop


def _period_at_the_end(tokens: Sequence[str]) -> Sequence[str] | None:
    """The unit of which the second half of the tokens, or a long tail of them, are copies."""
    half = len(tokens) - len(tokens) // 2
    for period in range(1, MAX_PERIOD + 1):
        copied = 0
        while copied + period < len(tokens) and tokens[-1 - copied] == tokens[-1 - copied - period]:
            copied += 1
        looped = copied + period
        if (looped >= half >= 2 * period) or (looped >= LONG_TAIL and looped >= MIN_COPIES * period):
            return tokens[-period:]
    return None


def _without_counter(tokens: Sequence[str]) -> Sequence[str]:
    """The tokens without their numbers, where those count up by one; else all of them."""
    numbers = [int(token) for token in tokens if token.isdecimal() and len(token) < 10]
    counts = len(numbers) >= MIN_SAME and all(b == a + 1 for a, b in pairwise(numbers))
    return [token for token in tokens if not token.isdecimal()] if counts else tokens


def _endless_word(tokens: Sequence[str]) -> str | None:
    words = [token for token in tokens if len(token) > LONGEST_WORD and _LETTERS.fullmatch(token)]
    return next((f"never ends a word: {loop}" for word in words if (loop := _loop(word)) is not None), None)
