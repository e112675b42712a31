"""What an answer states: read as plain text, without questions, and each word asked whether it is denied.

Wrong by construction: there is no grammar here. Irony, a quoted opinion ("some say Lyon") and a denial that
stands further away than a few words are not seen.
"""

from __future__ import annotations

import unicodedata

import regex

from claas_assets.evaluation.preferences.verifiers.names import name_pattern

MAX_READ = 4_000
"""Characters: a longer answer to a closed question is judged by its beginning."""

# Every pattern is a bounded or possessive one, so that reading takes time in proportion to the text.
_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "‐": "-", "‑": "-", "—": ";", "×": "*", "⋅": "*", "·": "*", "÷": "/", "’": "'", "‘": "'"}
)
_TAG = regex.compile(r"</?[a-zA-Z][^<>\n@]{0,40}+>")
_LATEX = (
    (regex.compile(r"\\(?:times|cdot)\b"), "*"),
    (regex.compile(r"\\div\b"), "/"),
    (regex.compile(r"\\boxed\b"), "; the answer is "),
    (regex.compile(r"\\(?:text|mathrm|mathbf|textbf|left|right)\b|\\[()\[\],;! ]|[{}$]"), ""),
    (regex.compile(r"(?<=[A-Za-z])_(?=\d)"), ""),
)
_EMPHASIS = regex.compile(r"\*{2,3}|__|`|(?<![\d\s)])\*|\*(?![\d\s(])")
_SENTENCE_END = regex.compile(r"(?<=[.!?;])[)\"'”»]?\s++|\n++|;")
_DENIED_BEFORE = regex.compile(
    r"(?:\bnot|\bnor|\bnever|n't|\bcannot|\bno|\bwithout|\bisnt|\binstead of|\brather than|\bunlike|\bexcept|\bthan"
    r"|\bneither|\b(?:do|does|did)(?:n't|\snot)\s\w{1,12})"
    r"(?:\s(?:only|the|a|an|be|been|called|named|in|at|on|by|it|is|its|that|to|for|of|from|really|written|live|lives|living"
    r"|think|believe|answer|city|number|equal|equals|cost|costs|exactly|open|opens|have|has|are|there)\b){0,5}+[\s\"'“«(:]{1,4}$",
    regex.IGNORECASE,
)
_DENIED_AFTER = regex.compile(
    r"^[\"'”»)]?(?:\s\w{1,12}){0,2}?\s?(?:\b(?:is|was|are|does|did|has|would be|can|could|do)?\s?"
    r"(?:\bnot|n't|\bnever)\b(?!\sonly)|\s(?:is|was|would be)\s(?:wrong|incorrect|false|a mistake|the wrong))",
    regex.IGNORECASE,
)
_UNSURE = regex.compile(
    r"\b(?:maybe|perhaps|possibly|might|could be|may be|not sure|unsure|don't know|do not know|no idea|can't answer|"
    r"cannot answer|can't say|cannot say|not certain|guess|probably|either)\b",
    regex.IGNORECASE,
)


def plain(answer: str) -> str:
    """The beginning of an answer, without Markdown, HTML and LaTeX, in one spelling of minus, times and quotes."""
    text = unicodedata.normalize("NFKC", answer[:MAX_READ].translate(_CHARACTERS)).translate(_CHARACTERS)
    text = _TAG.sub("", text)
    for pattern, instead in _LATEX:
        text = pattern.sub(instead, text)
    return _EMPHASIS.sub("", text).translate({ord("“"): '"', ord("”"): '"'})


def clauses(text: str) -> list[str]:
    """The statements of a plain text: its sentences and lines, without those that ask."""
    parts = [" ".join(part.split()) for part in _SENTENCE_END.split(text)]
    return [part for part in parts if part and not part.rstrip("\"')").endswith("?")]


def is_denied(clause: str, start: int, end: int) -> bool:
    """Whether what stands at `start:end` is said not to be so: "not X", "X is not …", "rather than X"."""
    return bool(
        _DENIED_BEFORE.search(clause[max(0, start - 60) : start]) or _DENIED_AFTER.match(clause[end : end + 40])
    )


def is_unsure(clause: str) -> bool:
    """Whether a statement takes itself back: "maybe", "it could be", "I am not sure"."""
    return _UNSURE.search(clause) is not None


def mention(clause: str, texts: tuple[str, ...]) -> tuple[int, int] | None:
    """Where one of `texts` stands in a clause as whole words and is not denied; None where it does not."""
    for text in texts:
        for match in name_pattern(text).finditer(clause):
            if not is_denied(clause, *match.span()):
                return match.span()
    return None


_WORD = regex.compile(r"[^\W\d_][\w']*+")
_COMMON = frozenset({
    "the", "and", "are", "was", "what", "which", "who", "how", "many", "much", "does", "did", "has", "have",
    "that", "this", "with", "from", "for", "one", "word", "answer", "only", "use", "your", "you", "there",
    "where", "when", "in", "is", "of", "to", "a", "an", "it", "its", "text", "else", "alone", "nothing", "give",
    "name", "write", "reply", "copy",
})  # fmt: skip
_ANSWERS = ("it", "it's", "answer", "that", "that's", "this", "called", "known", "they", "he", "she")
_POSSESSIVE = regex.compile(
    r"^'s?\s(?!plays?\b|works?\b|tragedy\b|famous\b|most\b|hand\b|pen\b|own\b)\w", regex.IGNORECASE
)
_BESIDE = regex.compile(
    r"\b(?:near|nearby|outside|close to|next to|(?:north|south|east|west) of|similar to|like|"
    r"(?:anything|all|everything) but|"
    r"besides|after|before|"
    r"(?:son|daughter|wife|friend|brother|sister|father|student|capital|opposite|mayor|suburb) of|against|beyond|hate|"
    r"love|visited|visit)\s(?:the\s)?$",
    regex.IGNORECASE,
)
_ONE_OF_TWO = regex.compile(r"^[\"')]?,?\s?(?:or|/)\s(?:the |a |in |on )?", regex.IGNORECASE)
_TWO_OF_TWO = regex.compile(r"\b(\w+),?\s(?:or|/)\s(?:the |a |in |on |maybe )?[\"'(]?$", regex.IGNORECASE)


def content_words(prompt: str) -> tuple[str, ...]:
    """The words of a question by which one knows that a sentence is about it, in lower case."""
    words = dict.fromkeys(word.casefold() for word in _WORD.findall(plain(prompt)))
    return tuple(word for word in words if len(word) > 2 and word not in _COMMON)


def text_problem(text: str, accept: tuple[str, ...], without: tuple[str, ...], about: tuple[str, ...]) -> str | None:
    """None where `text` (of `plain`) states one of `accept` and none of `without`, else what is wrong.

    A sentence of more than three words must be about the question: have one of `about`, or say "it", "the answer".
    """
    stated = False
    for clause in clauses(text):
        if is_unsure(clause):
            continue
        other = mention(clause, without)
        if other is not None:
            return f"{clause[slice(*other)]!r} is stated"
        span = mention(clause, accept)
        if span is None:
            continue
        before, after = clause[: span[0]], clause[span[1] :]
        if _is_a_choice(before, after, accept):
            return "more than one answer is stated"
        is_alone = not before.strip("\"'( ") and after[:1] in (",", ":", "(", "")
        is_meant = not _POSSESSIVE.match(after) and not _BESIDE.search(before)
        stated = stated or (is_meant and (is_alone or _is_about(before + after, about)))
    return None if stated else f"{accept[0]!r} is not stated"


def _is_a_choice(before: str, after: str, accept: tuple[str, ...]) -> bool:
    """Whether an answer stands beside another one: "Paris or Lyon"."""
    following = _ONE_OF_TWO.match(after)
    if following and mention(after[following.end() :][:40], accept) is None:
        return True
    preceding = _TWO_OF_TWO.search(before)
    return preceding is not None and mention(preceding.group(1), accept) is None


def _is_about(rest: str, about: tuple[str, ...]) -> bool:
    words = [word.casefold() for word in _WORD.findall(rest)]
    if len(words) <= 3 and not any(word in ("i", "my", "we") for word in words):
        return True
    return any(word in _ANSWERS or word.startswith(about) for word in words)
