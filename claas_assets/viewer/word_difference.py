"""Two answers, and which words only one of them has."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup

from claas_assets.evaluation.preferences.markdown import count_words
from claas_assets.viewer.text import cut, marked

MAX_WORDS = 600  # the comparison is quadratic; an answer of the default limit has some 200
ALIKE = 0.4  # of the shorter answer's words; below it nearly all would be marked, which marks nothing
_WORDS = re.compile(r"\s+|\S+")


@dataclass(frozen=True)
class Difference:
    """`kept`: the share of the shorter answer's words that the other has too, in order; None where the answers
    were too long to compare.
    """

    before: Markup
    after: Markup
    kept: float | None
    words: tuple[int, int]


def word_difference(before: str, after: str) -> Difference:
    """Both texts as escaped HTML with `<del>` and `<ins>` around what only one of them has."""
    old, new = (_WORDS.findall(cut(text).text) for text in (before, after))
    sizes = _words_in(before), _words_in(after)
    if max(len(old), len(new)) > 2 * MAX_WORDS:
        return Difference(marked(cut(before).text), marked(cut(after).text), None, sizes)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    blocks = matcher.get_opcodes()
    same = sum(not word.isspace() for tag, i, j, _, _ in blocks if tag == "equal" for word in old[i:j])
    fewest = min(sum(not word.isspace() for word in words) for words in (old, new))
    kept = same / fewest if fewest else 0.0
    if kept < ALIKE:
        return Difference(marked(cut(before).text), marked(cut(after).text), kept, sizes)
    return Difference(
        before=_joined([(old[i:j], tag == "equal") for tag, i, j, _, _ in blocks], Markup("<del>{}</del>")),
        after=_joined([(new[k:m], tag == "equal") for tag, _, _, k, m in blocks], Markup("<ins>{}</ins>")),
        kept=kept,
        words=sizes,
    )


def _words_in(text: str) -> int:
    """As the verifiers count; a text that is cut anyway is counted by its spaces, which is quick."""
    return len(text.split()) if cut(text).is_cut else count_words(text)


def _joined(blocks: list[tuple[list[str], bool]], changed: Markup) -> Markup:
    parts = ((marked("".join(words)), same) for words, same in blocks if words)
    return Markup("").join(text if same else changed.format(text) for text, same in parts)
