"""Which tokens of a scored answer the chat template added to end the turn: they say nothing of the text."""

from collections.abc import Sequence

import regex

_MARK = regex.compile(r"<[|｜/]?[\w▁ .|-]{1,40}[|｜]?>|\[/INST\]", regex.IGNORECASE)
"""`<|im_end|>`, `</s>`, `<end_of_turn>`, `<｜end▁of▁sentence｜>`: what templates write after an answer."""

_BLANKS = "ĠĊ▁ \t\r\n"
"""Blanks as tokenizers write them, too."""


def end_of_turn(tokens: Sequence[str], completion: str) -> int | None:
    """How many of the last tokens were added to `completion`: marks that are not in it, and the blanks around.

    0 where the last token is the end of the text; None where neither can be seen.
    """
    spoken = len(tokens)
    while spoken and _is_added(tokens[spoken - 1], completion):
        spoken -= 1
    if any(map(_MARK.fullmatch, tokens[spoken:])):
        return len(tokens) - spoken
    last = tokens[spoken - 1].strip(_BLANKS) if spoken else ""
    return 0 if last and completion.rstrip().endswith(last) else None


def _is_added(token: str, completion: str) -> bool:
    return not token.strip(_BLANKS) or (_MARK.fullmatch(token) is not None and token not in completion)
