"""What an answer states: read as plain text, without questions, and each word asked whether it is denied.

Wrong by construction: there is no grammar here. Irony, a quoted opinion ("some say Lyon") and a denial that
stands further away than a few words are not seen.
"""

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
    (regex.compile(r"\b(?:US|CA|AU)\$"), "$"),
    (regex.compile(r"\\(?:times|cdot)\b"), "*"),
    (regex.compile(r"\\div\b"), "/"),
    (regex.compile(r"\\boxed\b"), "; the answer is "),
    (regex.compile(r"\\(?:text|mathrm|mathbf|textbf|left|right|ce)\b|\\[()\[\],;! ]|[{}$]"), ""),
    (regex.compile(r"\\[dt]?frac(\d{1,9})/?(\d{1,9})"), r"\1/\2"),
    (regex.compile(r"(?<=[A-Za-z])_(?=\d)"), ""),
    (regex.compile(r"~(\d{1,4})~"), r"\1"),
)
_EMPHASIS = regex.compile(r"\*{2,3}|__|`|(?<![\d\s)])\*|\*(?![\d\s(])")
_SENTENCE_END = regex.compile(r"(?<=[.!?;])[)\"'”»]?\s++|(?<=[。！？])|\n++|;")
_DENIED_BEFORE = regex.compile(
    r"(?:\bnot|\bnor|\bnever|\bhardly|n't|\bcannot|\bno|\bwithout|\bisnt|\binstead of|\brather than|\bunlike"
    r"|\bexcept|\bthan"
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
_HEARSAY = regex.compile(
    r"\b(?:some|many|most|people|others|they|students|sources)\s(?:\w{1,12}\s){0,2}?(?:say|says|think|believe|claim|said|thought|believed)"
    r"\s(?:that\s)?(?:the\s(?:answer|capital|result)\s(?:is|was)\s|it(?:'s|\sis|\swas)\s)?[\"']?$"
    r"|\b(?:said|believed|thought|rumored|claimed)\sto\s(?:be|have\sbeen)\s[\"']?$",
    regex.IGNORECASE,
)
_UNSURE = regex.compile(
    r"\b(?:maybe|perhaps|possibly|might|could be|may be|not sure|unsure|don't know|do not know|no idea|can't answer|"
    r"cannot answer|can't say|cannot say|not certain|guess|probably|either|"
    r"(?:difficult|hard|impossible) to (?:say|know|tell))\b",
    regex.IGNORECASE,
)


def plain(answer: str) -> str:
    """The beginning of an answer, without Markdown, HTML and LaTeX, in one spelling of minus, times and quotes."""
    text = unicodedata.normalize("NFKC", answer[:MAX_READ].translate(_CHARACTERS)).translate(_CHARACTERS)
    text = _TAG.sub("", text)
    for pattern, instead in _LATEX:
        text = pattern.sub(instead, text)
    return _EMPHASIS.sub("", _without_accents(text)).translate({ord("“"): '"', ord("”"): '"'})


def _without_accents(text: str) -> str:
    """Latin letters without their accents: "París" is Paris."""
    return unicodedata.normalize("NFC", regex.sub(r"(?<=\p{Latin})\p{Mn}++", "", unicodedata.normalize("NFD", text)))


def clauses(text: str) -> list[str]:
    """The statements of a plain text: its sentences and lines, without those that ask."""
    parts = [" ".join(part.split()) for part in _SENTENCE_END.split(text)]
    return [part for part in parts if part and not part.rstrip("\"')").endswith(("?", "？"))]


def is_denied(clause: str, start: int, end: int) -> bool:
    """Whether what stands at `start:end` is said not to be so: "not X", "X is not …", "some people say X"."""
    before = clause[max(0, start - 60) : start]
    return bool(_DENIED_BEFORE.search(before) or _HEARSAY.search(before) or _DENIED_AFTER.match(clause[end : end + 40]))


def is_unsure(clause: str) -> bool:
    """Whether a statement takes itself back: "maybe", "it could be", "I am not sure"."""
    return _UNSURE.search(clause) is not None


def mentions(clause: str, texts: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where one of `texts` stands in a clause as whole words and is not denied, in order."""
    found = [match.span() for text in texts for match in name_pattern(text).finditer(clause)]
    return sorted(span for span in found if not is_denied(clause, *span))


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
    r"(?:anything|all|everything) but|made (?:of|from|with|out of)|"
    r"besides|after|before|about|inspired by|"
    r"(?:son|daughter|wife|husband|friend|brother|sister|father|mother|cousin|uncle|nephew|student|pupil|teacher|fan|"
    r"rival|admirer|colleague|contemporary|relative|descendant|servant|enemy|capital|opposite|mayor|suburb) of|against|"
    r"beyond|hate|love|visited|visit)\s(?:the\s)?$",
    regex.IGNORECASE,
)
_CONCLUDES = regex.compile(r"\b(?:answer|so|therefore|thus|hence)\b[^.]{0,60}+$", regex.IGNORECASE)
_CORRECTS = regex.compile(
    r"\b(?:no|wait|actually|sorry|correction|oops|mean|meant|rather|instead|answer)\b", regex.IGNORECASE
)
_CONCEDED = regex.compile(r"^(?:although|though|even though|while|whereas)\s[^,]{1,80}+,\s", regex.IGNORECASE)
_NAMED = regex.compile(r"\b(?:call(?:ed)?(?:\sit)?|known\sas|named)\s\"([^\"]{1,60})\"", regex.IGNORECASE)


def content_words(prompt: str) -> tuple[str, ...]:
    """The words of a question by which one knows that a sentence is about it, in lower case."""
    words = dict.fromkeys(word.casefold() for word in _WORD.findall(plain(prompt)))
    return tuple(word for word in words if len(word) > 2 and word not in _COMMON)


def text_problem(
    text: str, accept: tuple[str, ...], without: tuple[str, ...], asked: tuple[str, ...], about: tuple[str, ...] = ()
) -> str | None:
    """None where `text` (of `plain`) states one of `accept` and none of `without`, else what is wrong.

    A sentence of more than three words must be about the question: have one of `asked` (its content words) or
    `about`, or say "it", "the answer". What a sentence concludes ("so the answer is …") rules what was said
    before it, and beside a right answer another name counts only where it is said of what was asked.
    """
    stated, problem = False, None
    for sentence in clauses(text):
        clause = _CONCEDED.sub("", sentence)
        if is_unsure(clause):
            continue
        others, spans = mentions(clause, without), mentions(clause, accept)
        if any(_is_a_choice(clause[: span[0]], clause[span[1] :], accept) for span in spans):
            return "more than one answer is stated"
        is_meant = any(_is_meant(clause, span, (*asked, *about)) for span in spans)
        is_last = max(others, default=(-1, -1)) < max(spans, default=(-1, -1))
        concludes = is_meant and is_last and _CONCLUDES.search(clause[: spans[-1][0]]) is not None
        named = _NAMED.search(clause)
        if others and not concludes and not (stated and not spans and _is_aside(clause, asked)):
            problem = f"{clause[slice(*others[0])]!r} is stated"
        elif named and not mentions(named.group(1), accept) and not stated:
            problem = f"{named.group(1)!r} is stated"
        elif is_meant:
            stated, problem = True, None if concludes else problem
    return problem or (None if stated else f"{accept[0]!r} is not stated")


def _is_meant(clause: str, span: tuple[int, int], about: tuple[str, ...]) -> bool:
    before, after = clause[: span[0]], clause[span[1] :]
    if _POSSESSIVE.match(after) or _BESIDE.search(before):
        return False
    return (not before.strip("\"'( ") and after[:1] in (",", ":", "(", "")) or _is_about(before + after, about)


def _is_aside(clause: str, asked: tuple[str, ...]) -> bool:
    """Whether a sentence that follows the answer tells something else: it is long, and not of what was asked."""
    words = [word.casefold() for word in _WORD.findall(clause)]
    return len(words) > 2 and not _CORRECTS.search(clause) and not any(word.startswith(asked) for word in words)


def _is_a_choice(before: str, after: str, accept: tuple[str, ...]) -> bool:
    """Whether an answer stands beside another one: "Paris or Lyon"."""
    joint = "or|/|and|&" if len(_WORD.findall(before + after)) <= 2 else "or|/"
    following = regex.match(rf"^[\"')]?,?\s?(?:{joint})\s(?:the |a |in |on )?", after, regex.IGNORECASE)
    if following and not mentions(after[following.end() :][:40], accept):
        return True
    preceding = regex.search(rf"\b(\w+),?\s(?:{joint})\s(?:the |a |in |on |maybe )?[\"'(]?$", before, regex.IGNORECASE)
    return preceding is not None and not mentions(preceding.group(1), accept)


def _is_about(rest: str, about: tuple[str, ...]) -> bool:
    words = [word.casefold() for word in _WORD.findall(rest)]
    if len(words) <= 3 and not any(word in ("i", "my", "we") for word in words):
        return True
    return any(word in _ANSWERS or word.startswith(about) for word in words)
