"""Emoji: none of them, or the ones that were asked for."""

from itertools import groupby

import emoji
import regex
from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import count_words
from claas_assets.evaluation.preferences.repetition import repeats
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    Count,
    ShippedVerifier,
    Text,
    VerifierResult,
    at_least,
    fails,
    passes,
)

# An emoji sequence of Unicode Technical Standard 51 (ED-17). `\X` would say the same, in quadratic time.
_PART = r"(?:\p{RI}\p{RI}?+|\p{Emoji}(?:\p{EMod}|[\uFE0E\uFE0F]\u20E3?+|[\U000E0020-\U000E007E]++\U000E007F)?+)"
_SEQUENCE = regex.compile(rf"{_PART}(?:\u200D{_PART}){{0,9}}+")
_SHOWN_AS_EMOJI = regex.compile(r"\p{Emoji_Presentation}(?!\uFE0E)|\p{Emoji}\uFE0F")
_VARIANTS = regex.compile(r"[\uFE0E\uFE0F\p{EMod}]")


@dataclass(frozen=True, config=STRICT)
class NoEmojiVerifier(ShippedVerifier):
    """Passes when the answer has words and no emoji; score 1.0 or 0.0.

    A family, a flag, a keycap or a skin tone is one emoji (`find_emoji`). An answer without a word, and one
    that only repeats itself, obeys nothing. Wrong by construction: emoticons such as ":-)" and ":tada:" are
    no emoji, and an answer that is about something else is not noticed.
    """

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        marks = find_emoji(answer)
        if marks:
            names = ", ".join(_with_name(mark) for mark in dict.fromkeys(marks))
            return fails(f"{len(marks)} emoji: {names}")
        if not count_words(answer):
            return fails("no emoji, and no word either")
        loop = repeats(answer)
        return passes("no emoji") if loop is None else fails(f"no emoji, but no answer: it {loop}")


@dataclass(frozen=True, config=STRICT)
class ContainsEmoji(ShippedVerifier):
    """Passes when `emoji` appears at least `count` times; any of `among` where that is given, else any emoji.

    `at_most` bounds how often, `different` wants `count` emoji that differ, `only` allows no other emoji
    than `emoji`, and `max_words` bounds the words around them. The same emoji more than `count` times in a
    row (three, where fewer are asked for) is a loop, no answer. Skin tone and emoji selector make no other
    emoji: 👋🏽 is 👋, and ❤ is ❤️. Wrong by construction: it reads no meaning, so any emoji that is allowed
    fits.
    """

    emoji: Text | None = None
    count: Count = 1
    at_most: Count | None = None
    different: bool = False
    only: bool = False
    max_words: int | None = Field(default=None, ge=0)
    among: Text | None = None

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        wanted = None if self.emoji is None else _without_variants(self.emoji)
        shown = [_without_variants(mark) for mark in find_emoji(answer)]
        everything = [_without_variants(mark) for mark in _SEQUENCE.findall(answer)]
        allowed = None if self.among is None else {_without_variants(mark) for mark in _SEQUENCE.findall(self.among)}
        marks = [mark for mark in (shown if wanted is None else everything) if mark in (allowed or {wanted or mark})]
        others = set(shown) - (allowed or {wanted or ""})
        longest_run = max((len(list(run)) for mark, run in groupby(everything) if mark in marks), default=0)
        words = count_words(answer)
        if longest_run > max(3, self.count):
            return fails(f"the same emoji {longest_run} times in a row")
        if self.at_most is not None and len(marks) > self.at_most:
            return fails(f"{len(marks)} of at most {self.at_most} {self.emoji or 'emoji'}")
        if self.only and others:
            return fails(f"other emoji as well: {' '.join(sorted(others))}")
        if self.max_words is not None and words > self.max_words:
            return fails(f"{words} words besides, at most {self.max_words}")
        number = len(set(marks)) if self.different else len(marks)
        return at_least(number, self.count, self.emoji or ("different emoji" if self.different else "emoji"))


def find_emoji(text: str) -> list[str]:
    """The emoji in `text`, one string each, in order.

    Sequence by sequence (Unicode Technical Standard 51): one counts when it has a character shown as emoji
    by default, or one that can be and is followed by U+FE0F. So ©, ™, ❤, digits and # count only with that
    selector, and ⌚ followed by the text selector U+FE0E does not.
    """
    return [sequence for sequence in _SEQUENCE.findall(text) if _SHOWN_AS_EMOJI.search(sequence)]


def _without_variants(mark: str) -> str:
    return _VARIANTS.sub("", mark)


def _with_name(mark: str) -> str:
    """The emoji with its name in brackets; alone where the `emoji` library does not know it."""
    name = emoji.demojize(mark)
    return mark if name == mark else f"{mark} ({name.strip(':').replace('_', ' ')})"
