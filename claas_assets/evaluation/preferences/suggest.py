"""From the words of a feedback to verifiers that may fit: a start for a person, who knows what was meant."""

from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import regex

from claas_assets.evaluation.preferences.languages import Language

Spec: TypeAlias = dict[str, Any]
Match: TypeAlias = Any
"""Of the pattern in the feedback: `regex` has no types."""

LONGEST_FEEDBACK = 2_000
"""Characters that are looked at: a log may hold any text as feedback."""
_QUOTED = r"\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]{3,})'(?!\w)"
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
_NUMBER = rf"(?P<number>\d{{1,4}}|{'|'.join(_NUMBERS)})"
_APOLOGIES = [
    "sorry", "apologize", "apologise", "apologizes", "apologies", "apology", "my mistake", "forgive me", "pardon me",
]  # fmt: skip
_PREAMBLES = [
    "sure", "of course", "certainly", "absolutely", "great question", "good question", "thanks for asking",
    "I'd be happy to", "I would be happy to", "let me", "as an AI", "ah", "well", "okay", "ok",
]  # fmt: skip


def verifiers_for(feedback: str) -> list[Spec]:
    """Verifiers that fit the words of `feedback`, the likeliest first: several at once, each of them, a judge.

    Wrong by construction: it looks at words. What was meant, the writer of the file knows.
    """
    feedback = " ".join(feedback[:LONGEST_FEEDBACK].split())
    found: list[Spec] = []
    unquoted = regex.sub(_QUOTED, '""', feedback)
    for pattern, make in _RULES:
        match = regex.search(pattern, unquoted, regex.IGNORECASE)
        spec = None if match is None else make(match, feedback)
        if spec is not None and spec not in found:
            found.append(spec)
    together = [{"_target_": "AllOf", "of": found}] if len(found) > 1 else []
    return [
        *together,
        *found,
        {"_target_": "JudgeVerifier", "question": f"Does the answer do what was asked for: {feedback}"},
    ]


def _verifier(target: str, **arguments: Any) -> Callable[[Match, str], Spec]:
    return lambda match, feedback: {"_target_": target, **arguments}


def _counted(target: str, key: str, **more: Any) -> Callable[[Match, str], Spec]:
    def make(match: Match, feedback: str) -> Spec:
        word = match["number"].casefold()
        number = _NUMBERS.get(word) or int(word)
        under = regex.search(
            r"(?:fewer|less|under|below)\s+(?:than\s+)?$", match.string[: match.start("number")], regex.I
        )
        return {"_target_": target, key: max(1, number - bool(under)), **more}

    return make


def _language(match: Match, feedback: str) -> Spec | None:
    return {"_target_": "InLanguage", "language": match["language"].casefold()}


def _quoted(feedback: str) -> list[str]:
    """What stands between quotation marks."""
    return [text for pair in regex.findall(_QUOTED, feedback) for text in pair if text]


def _phrases(where: str) -> Callable[[Match, str], Spec | None]:
    def make(match: Match, feedback: str) -> Spec | None:
        texts = _quoted(feedback)
        return {"_target_": "PhrasesAbsent", "texts": texts, "where": where} if texts else None

    return make


def _edge(target: str) -> Callable[[Match, str], Spec | None]:
    def make(match: Match, feedback: str) -> Spec | None:
        texts = _quoted(feedback)
        return {"_target_": target, "text": texts[0]} if texts else None

    return make


def _name(match: Match, feedback: str) -> Spec:
    return {"_target_": "IdentityVerifier", "name": match["name"].casefold()}


def _markdown(match: Match, feedback: str) -> Spec:
    wanted = {"bold": "bold", "heading": "headings", "header": "headings", "bullet": "bullets", "list": "bullets"}
    kinds = dict.fromkeys(kind for word, kind in wanted.items() if regex.search(word, feedback, regex.I))
    return {"_target_": "NoMarkdown", **({"kinds": list(kinds)} if kinds else {})}


def _json(match: Match, feedback: str) -> Spec:
    keys = regex.search(r"\bkeys?\s+(?:named\s+|called\s+)?(\w+)", feedback, regex.I)
    named = _quoted(feedback) or ([keys[1]] if keys else [])
    return {"_target_": "IsJson", **({"keys": dict.fromkeys(named, "any")} if named else {})}


def _section(match: Match, feedback: str) -> Spec:
    pattern = rf'(?s)"""[^"]*\b{match["section"]}:'
    return {"_target_": "AllOf", "of": [{"_target_": "CodeParses"}, {"_target_": "MatchesPattern", "pattern": pattern}]}


_SECTION = r"\b(?P<section>Args|Returns|Raises|Examples?)\b"
_NO = r"\b(?:no|not|never|without|don'?t|do not|stop|avoid|skip|drop|leave out|instead of)\b"
_RULES: list[tuple[str, Callable[[Match, str], Spec | None]]] = [
    (rf"\b(?P<language>{'|'.join(get_args(Language))})\b", _language),
    (r"\bemojis?\b|\bicons?\b|\bemoticons?\b", _verifier("NoEmojiVerifier")),
    (rf"{_NUMBER}\s+(?:\w+\s+)?sentences?\b", _counted("ConciseVerifier", "max_sentences")),
    (rf"{_NUMBER}\s+(?:\w+\s+)?words?\b", _counted("MaxWords", "count")),
    (r"\byour name is (?P<name>\p{L}[\p{L}\d-]*)|\bcall yourself (?P<name>\p{L}[\p{L}\d-]*)", _name),
    (r"\bapolog|\bsorry\b", _verifier("PhrasesAbsent", texts=_APOLOGIES)),
    (rf"{_NO}[^.]*\b(?:start|begin|open)\w*\b", _phrases("start")),
    (rf"{_NO}[^.]*\b(?:end|clos|finish)\w*\b", _phrases("end")),
    (rf"{_NO}[^.]*\b(?:say|use|writ|word|phrase)\w*\b", _phrases("anywhere")),
    (rf"^(?!.*{_NO}).*\b(?:start|begin)\b", _edge("BeginsWith")),
    (rf"^(?!.*{_NO}).*\b(?:end|sign|finish)\b", _edge("EndsWith")),
    (r"\banswer first\b|\b(?:answer|point) (?:straight|right) away\b|\bpreamble\b|\bto the point\b",
     _verifier("PhrasesAbsent", texts=_PREAMBLES, where="start")),
    (rf"{_NO}[^.]*\b(?:ask|question|anything else|follow-?up)\w*\b", _verifier("EndsWithQuestion", absent=True)),
    (rf"^(?!.*{_NO}).*\bask\b[^.]*\b(?:question|back|unclear|clarif)\w*\b", _verifier("EndsWithQuestion")),
    (rf"{_NO}[^.]*\b(?:markdown|bold|headings?|headers?|bullets?|lists?)\b|\bplain text\b", _markdown),
    (rf"{_NO}[^.]*\b(?:em[- ])?dash(?:es)?\b", _verifier("CharactersAbsent", characters="—–")),
    (rf"{_NO}[^.]*\bcommas?\b", _verifier("CharactersAbsent", characters=",")),
    (rf"\blower[- ]?case\b|{_NO}[^.]*\bcapital", _verifier("LetterCase", case="lower")),
    (r"\bupper[- ]?case\b|\ball caps\b", _verifier("LetterCase", case="upper")),
    (r"\bjson\b", _json),
    (rf"\bdocstrings?\b[^.]*{_SECTION}|{_SECTION}[^.]*\bdocstrings?\b", _section),
    (r"\byyyy-mm-dd\b|\biso (?:date|8601)", _verifier("MatchesPattern", pattern=r"\b\d{4}-\d{2}-\d{2}\b")),
    (r"\bsnake[_ ]case\b", _verifier("MatchesPattern", pattern=r"\b[a-z0-9]+(?:_[a-z0-9]+)+\.\w+\b")),
    (r"\b(?:concise|brief|shorter|too long)\b", _verifier("ConciseVerifier")),
]  # fmt: skip
