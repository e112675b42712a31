"""Emoji, grapheme by grapheme: none of them, or the one that was asked for."""

from __future__ import annotations

import emoji
import regex
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.result import STRICT, Count, Text, VerifierResult, at_least
from claas_assets.wire import strip_thinking

_SHOWN_AS_EMOJI = regex.compile(r"\p{Emoji_Presentation}(?!\uFE0E)|\p{Emoji}\uFE0F")
_SELECTORS = dict.fromkeys((0xFE0E, 0xFE0F))


@dataclass(frozen=True, config=STRICT)
class NoEmojiVerifier:
    """Passes when the answer has no emoji; score 1.0 or 0.0.

    Counted by grapheme (`find_emoji`): a family, a flag, a keycap or a skin tone is one emoji.
    An answer with no text has no emoji and passes; how many answers are empty is the collapse
    metric's business.
    """

    def __call__(self, response: str) -> VerifierResult:
        marks = find_emoji(strip_thinking(response))
        if not marks:
            return VerifierResult(True, 1.0, "no emoji")
        names = ", ".join(_with_name(mark) for mark in dict.fromkeys(marks))
        return VerifierResult(False, 0.0, f"{len(marks)} emoji: {names}")


@dataclass(frozen=True, config=STRICT)
class ContainsEmoji:
    """Passes when `emoji` (any emoji where it is not given) appears at least `count` times.

    A given emoji is found with and without its emoji selector: ❤ for ❤️ is obedience.
    """

    emoji: Text | None = None
    count: Count = 1

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        if self.emoji is None:
            return at_least(len(find_emoji(answer)), self.count, "emoji")
        wanted = self.emoji.translate(_SELECTORS)
        clusters = [cluster.translate(_SELECTORS) for cluster in regex.findall(r"\X", answer)]
        return at_least(clusters.count(wanted), self.count, self.emoji)


def find_emoji(text: str) -> list[str]:
    """The emoji in `text`, one string each, in order.

    Grapheme by grapheme (Unicode Technical Standard 51): a cluster counts when it has a character
    shown as emoji by default, or one that can be and is followed by U+FE0F. So ©, ™, ❤, digits and #
    count only with that selector, and ⌚ followed by the text selector U+FE0E does not.
    """
    return [cluster for cluster in regex.findall(r"\X", text) if _SHOWN_AS_EMOJI.search(cluster)]


def _with_name(mark: str) -> str:
    """The emoji with its name in brackets; alone where the `emoji` library does not know it."""
    name = emoji.demojize(mark)
    return mark if name == mark else f"{mark} ({name.strip(':').replace('_', ' ')})"
