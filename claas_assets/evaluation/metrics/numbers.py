"""The number that an answer states: calculations checked, quantities told apart, denials heard.

An answer is right where it states the expected number, states no other one in its place, and no calculation
in it is false. Numbers that only explain are passed over: those of the question, those in brackets, those
after "because", those of another unit, and those inside a calculation that is true.

Wrong by construction: a false reason in words ("12, because 7 is even") is not seen; of a number without a
unit ("5 dogs and 12 cats, so 12") the role is known by the item's `rejects` alone; "one" is a number only
where one is expected.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import regex

from claas_assets.evaluation.metrics.statements import clauses, is_denied, is_unsure

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_NAMES = "|".join([*_SMALL, *_TENS, *_SCALES])
_NUMBER_WORDS = regex.compile(
    rf"\b(?:{_NAMES})(?:(?:[ -]|\sand\s)(?:{_NAMES})){{0,8}}+\b|\ba\s(?=(?:hundred|thousand|million)\b)",
    regex.IGNORECASE,
)
_GROUPED = regex.compile(
    r"(?<![\d.,])\d{1,3}(?:,\d{3}){1,6}+(?!\d)|(?<![\d.,])\d{1,3}(?:[ '\u00a0\u202f\u2009]\d{3}){1,6}+(?![\d.])"
)
# "2.000,00" is 2000.00 and "35,00" is 35.00; "150km" has a number and a unit; "2 thousand" is a number.
_CONTINENTAL = regex.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3}){0,6}+),(\d{2})(?![\d,.]*\d)")
_DOTTED = regex.compile(r"(?<![\d.,])(\d{1,3})\.(\d{3})(?![\d.,]*\d)")
_RATIO = regex.compile(r"(?<=\d)\s?:\s?(?=\d{1,9}\s?=)")
_UNIT_BESIDE = regex.compile(r"(?<=\d)(?=(?:kms?|hrs?|mins?|[cmk]m|kg|usd|dollars?|°?c)\b)", regex.IGNORECASE)
_SCALED = regex.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3})?)\s(hundred|thousand|million)\b", regex.IGNORECASE)
_TOKEN = regex.compile(
    r"(?P<number>(?<![\p{Latin}\p{N}_.])\d{1,20}+(?:\.\d{1,20}+)?+(?![\p{Latin}\p{N}_]))"
    r"|(?P<equal>=+|\b(?:is\s|which\sis\s)?(?:equals?(?:\sto)?|the\ssame\sas|makes|gives)\b)"
    r"|(?P<op>[-+*/()]|(?<=\d\s)x(?=\s\d)|(?<=\d)x(?=\d)|\b(?:plus|minus|times|multiplied\sby|divided\sby|negative|added\sto)\b)"
    r"|(?P<word>\p{Latin}[\w']{0,40}+|[^\W\d_]{1,40}+|\d\w{0,40}+)|(?P<mark>[^\s\w])",
    regex.IGNORECASE,
)
_OPERATORS = {
    "plus": "+", "added to": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "x": "*",
    "negative": "-",
}  # fmt: skip
_BETWEEN_SIDES = {"is", "are", "was", "of", "dollars", "dollar", "apples", "books", "km", "kilometers", "each", "hours"}
_COMPARED = regex.compile(
    r"\b(?:(?:more|less|fewer|greater|higher|lower|larger|smaller|bigger) than|at least|at most|almost|nearly|between|"
    r"up to|over|under|above|below|approximately|roughly|around|remainder(?: of)?)\s[$€£]?$",
    regex.IGNORECASE,
)
_IS_COMPARED = regex.compile(
    r"^\s(?:(?:is|are|was)\s(?:more|less|fewer|greater|higher|lower|larger|smaller|bigger|too|close|near)\b"
    r"|(?:more|less|fewer)\b(?=\sthan|[.!]|$))",
    regex.IGNORECASE,
)
_REASON = regex.compile(r",?\s\b(?:because|since|as in|given that)\b", regex.IGNORECASE)
_CONCLUDES = regex.compile(
    r"\b(?:so|therefore|thus|hence|finally|in total|altogether|answer|total|sum|result|which means)\b[^\d]{0,60}$",
    regex.IGNORECASE,
)
_CORRECTS = regex.compile(r"\b(?:wait|actually|sorry|correction|oops|i meant?)\b[^\d]{0,60}$", regex.IGNORECASE)
_IS_STATED = regex.compile(
    r"\b(?:is|are|equals|be|costs?|pay|total of|has|have)\s(?:\w{1,12}\s)?[$€£]?$", regex.IGNORECASE
)
_SO = regex.compile(r"^(?:so|therefore|thus|hence)\b", regex.IGNORECASE)
_SAME_AS = regex.compile(r"\b(?:the same as|equal to|equals)\s$", regex.IGNORECASE)
_LIST_NUMBER = regex.compile(r"^(?:step\s)?\d{1,2}[.):]\s", regex.IGNORECASE)
# A number followed by one of these is not a quantity of something: what follows is the sentence going on.
_GOES_ON = frozenset({
    "comes", "follows", "equals", "has", "have", "would", "can", "is", "are", "was", "and", "or", "but", "because",
    "since", "which", "when", "as", "so", "in", "total", "altogether", "too", "also", "if", "that", "for", "by",
    "after", "before", "with", "to", "at", "on", "it", "the", "not", "now", "then", "left", "more", "each", "again",
    "correct", "right", "of", "will", "than", "you", "we", "i", "this", "remain", "remains", "leaves", "make", "makes",
})  # fmt: skip
_VERBS = frozenset({"is", "are", "was", "were", "has", "have", "had", "gets", "get", "can", "will", "who", "that"})


@dataclass(frozen=True)
class _Claim:
    value: Fraction
    concludes: bool
    calculated: bool
    corrects: bool = False


@dataclass
class _Token:
    kind: str
    text: str
    start: int
    end: int


def number_problem(
    text: str, expected: Decimal, prompt: str = "", units: Sequence[str] = (), *, given_may_be_right: bool = False
) -> str | None:
    """None where `text` (of `statements.plain`) states `expected`, else what it states.

    `prompt` has the numbers that only repeat the question, unless `given_may_be_right` (an extraction). With
    `units`, a number of something else is another quantity.
    """
    wanted = Fraction(expected)
    given = set() if given_may_be_right else {_value(t.text) for t in _tokens(_digits(prompt)) if t.kind == "number"}
    claims: list[_Claim] = []
    for clause in clauses(_digits(_ungrouped(text, {*given, wanted}))):
        if is_unsure(clause):
            continue
        reading = _Reading(clause, wanted, given, tuple(unit.casefold() for unit in units))
        if reading.false is not None:
            return f"{reading.false} is false"
        if any(claim.corrects for claim in reading.claims):
            claims.clear()
        claims += reading.claims
    return _problem(claims, wanted)


def _problem(claims: Sequence[_Claim], wanted: Fraction) -> str | None:
    concluded = [claim.value for claim in claims if claim.concludes]
    stated = [claim.value for claim in claims if not claim.calculated]
    calculated = [claim.value for claim in claims if claim.calculated]
    values = concluded or stated or calculated[-1:]
    if not values:
        return "no number is stated"
    if calculated and wanted not in calculated and not concluded and calculated[-1] not in stated:
        values = [*values, calculated[-1]]
    other = next((value for value in values if value != wanted), None)
    return None if other is None else f"states {float(other):g}, not {float(wanted):g}"


class _Reading:
    """What one statement says about numbers."""

    def __init__(self, clause: str, wanted: Fraction, given: set[Fraction], units: tuple[str, ...]) -> None:
        self.clause = _LIST_NUMBER.sub("", clause) if len(clause) > 4 else clause
        self.wanted, self.given, self.units = wanted, given, units
        self.false: str | None = None
        self.claims: list[_Claim] = []
        self.tokens = _tokens(self.clause)
        self._read()

    def _read(self) -> None:
        reason = _REASON.search(self.clause)
        tail = reason.start() if reason and reason.start() > 0 else len(self.clause)
        known: Fraction | None = None
        for run in _runs(self.tokens):
            sides = _sides(run)
            values = [_evaluate(side) for side in sides]
            start, end = run[0].start, run[-1].end
            if known is not None and values[0] is not None and _SAME_AS.search(self.clause[max(0, start - 30) : start]):
                self.false = self.false or (None if _agree(known, values[0]) else self.clause[start:end])
            known = values[-1] if len(sides) > 1 else known
            if _is_told(run):
                sides, values, start = sides[-1:], values[-1:], sides[-1][0].start
            if len(sides) > 1 and None not in values and any(len(side) > 2 for side in sides):
                if not all(_agree(values[0], value) for value in values[1:]):
                    if not is_denied(self.clause, start, end):
                        self.false = self.clause[start:end]
                elif start < tail and (value := _shown(sides, values)) is not None and not self._checks(value, run):
                    self._claim(value, start, calculated=True)
            elif (
                len(sides) == 1
                and _is_number(sides[0] if _is_told(run) else run, start)
                and values[0] is not None
                and start < tail
            ):
                self._plain(values[0], start, end)
        if regex.search(r"\bcount", self.clause, regex.IGNORECASE):
            self.claims = self.claims[-1:]
        if not self.claims:
            self._bracketed(tail)
        if not self.claims:
            self._repeated(tail)

    def _checks(self, value: Fraction, run: Sequence[_Token]) -> bool:
        """Whether a true calculation goes back from the answer to a number of the question: "12 - 5 = 7"."""
        return value in self.given and value != self.wanted and self.wanted in _numbers(run)

    def _repeated(self, tail: int) -> None:
        """A number of the question is an answer, and a wrong one, where a conclusion states it as one."""
        for token in self.tokens:
            before = self.clause[max(0, token.start - 80) : token.start]
            if token.kind != "number" or _value(token.text) not in self.given or token.start >= tail:
                continue
            concludes = _CONCLUDES.search(before) is not None or _SO.match(self.clause) is not None
            if not concludes or not _IS_STATED.search(before) or is_denied(self.clause, token.start, token.end):
                continue
            if not self._is_other_quantity(token.start, token.end):
                self.claims.append(_Claim(_value(token.text), concludes=True, calculated=False))

    def _claim(self, value: Fraction, start: int, *, calculated: bool = False) -> None:
        concluded = bool(self.claims) and self.claims[-1].concludes
        concludes = concluded or _CONCLUDES.search(self.clause[max(0, start - 80) : start]) is not None
        corrects = _CORRECTS.search(self.clause[max(0, start - 80) : start]) is not None
        self.claims.append(_Claim(value, concludes, calculated, corrects))

    def _plain(self, value: Fraction, start: int, end: int) -> None:
        before, after = self.clause[max(0, start - 20) : start].rstrip(), self.clause[end : end + 20]
        is_choice = regex.search(rf"\bor$|\b{self.wanted} and$", before) or regex.match(
            rf"\s?or\b|\sand {self.wanted}\b", after
        )
        repeats = value in self.given and value != self.wanted
        is_aside = before.endswith("(") and len(self.clause[:start].strip(" (")) > 0
        if is_aside or (repeats and not is_choice):
            return
        if value == 1 != self.wanted and not self._unit_follows(end):
            return
        if _COMPARED.search(self.clause[max(0, start - 40) : start]) or _IS_COMPARED.match(after):
            return
        if self.claims and regex.match(r"\sof (?:them|which|these|those)\b", after):
            return
        if is_denied(self.clause, start, end) or self._is_other_quantity(start, end):
            return
        self._claim(value, start)

    def _unit_follows(self, end: int) -> bool:
        return self.clause[end : end + 30].strip().split(" ", 1)[0].strip(".,;!").casefold() in self.units

    def _is_other_quantity(self, start: int, end: int) -> bool:
        if not self.units and self.given and self.given <= _numbers(self.tokens):
            return False  # the question is told again with things: "7 apples and 5 more are 12 apples"
        if not self.units and regex.search(
            r"\b(?:answer|total|sum|result)\sis\s$", self.clause[:start], regex.IGNORECASE
        ):
            return False
        first = bisect_left(self.tokens, end, key=lambda token: token.start)
        following = self.tokens[first : first + 3]
        words: list[str] = []
        for token in following:
            if token.kind != "word" or (words and token.text.casefold() in _VERBS):
                break
            words.append(token.text.casefold())
        if following[:1] and following[0].text in "%°" and following[0].text not in self.units:
            return True
        if not words or words[0] in _GOES_ON:
            return False
        return not any(word in self.units for word in words)

    def _bracketed(self, tail: int) -> None:
        """ "The answer is twelve (12)": a number in brackets counts where there is no other."""
        for run in _runs(self.tokens):
            first = run[0]
            if len(run) > 1 or first.kind != "number" or first.start >= tail:
                continue
            is_aside = self.clause[: first.start].rstrip().endswith("(")
            if is_aside and not is_denied(self.clause, first.start, first.end) and _value(first.text) not in self.given:
                self._claim(_value(first.text), first.start)


def _ungrouped(text: str, known: set[Fraction]) -> str:
    """ "1.250" is 1250 where that is a number of the question or its answer."""

    def joined(match: regex.Match[str]) -> str:
        whole = match[1] + match[2]
        return whole if Fraction(whole) in known else match.group()

    return _DOTTED.sub(joined, text)


def _digits(text: str) -> str:
    """Number words and grouped digits as plain digits: "thirty-five" → 35, "2 000" and "2.000,00" → 2000."""
    text = _SCALED.sub(lambda match: str(int(Fraction(match[1]) * _SCALES[match[2].casefold()])), text)
    text = _NUMBER_WORDS.sub(_spelled, text)
    text = _CONTINENTAL.sub(lambda match: f"{match[1].replace('.', '')}.{match[2]}", text)
    text = _RATIO.sub(" / ", _UNIT_BESIDE.sub(" ", text))
    return _GROUPED.sub(lambda match: regex.sub(r"[^\d]", "", match.group()), text)


def _spelled(match: regex.Match[str]) -> str:
    total = current = 0
    words = [word for word in regex.split(r"[\s-]+", match.group().casefold()) if word not in ("and", "")]
    if words == ["a"]:
        return ""
    previous = None
    for word in words:
        if word in _SCALES:
            current = max(current, 1) * _SCALES[word]
            if word != "hundred":
                total, current = total + current, 0
        else:
            value = _SMALL.get(word, _TENS.get(word, 0))
            if previous is not None and (previous in _SMALL or (previous in _TENS and not 0 < value < 10)):
                return match.group()  # a list of numbers ("five six"), not one number
            current += value
        previous = word
    return str(total + current)


def _tokens(text: str) -> list[_Token]:
    return [_Token(m.lastgroup or "mark", m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def _value(text: str) -> Fraction:
    return Fraction(text.replace(" ", ""))


def _runs(tokens: Sequence[_Token]) -> list[list[_Token]]:
    """The stretches of numbers, operators and equals signs, each beginning and ending in a number or a bracket."""
    runs: list[list[_Token]] = []
    run: list[_Token] = []
    skipped = 0
    for token in tokens:
        if token.text == "(" and run and run[-1].kind == "number":
            runs.append(run)  # an aside: "3 apples (2 + 1)"
            run, skipped = [], 0
        if token.kind in ("number", "op", "equal"):
            if token.kind == "number" and run and run[-1].kind == "number":
                runs.append(run)
                run = []
            if token.kind == "number" and skipped and run and run[-1].kind != "op" and run[-1].kind != "equal":
                runs.append(run)
                run = []
            run.append(token)
            skipped = 0
        elif token.kind == "word" and run and token.text.casefold() in ("is", "are") and _has_operator(run):
            run.append(_Token("equal", "=", token.start, token.end))
        elif (
            token.kind == "word"
            and run
            and run[-1].kind in ("number", "equal")
            and token.text.casefold() in _BETWEEN_SIDES
        ):
            skipped += 1
        elif token.text in "$€£,*" and run and run[-1].kind in ("op", "equal"):
            continue
        elif run:
            runs.append(run)
            run = []
            skipped = 0
    return [trimmed for part in [*runs, run] if (trimmed := _trimmed(part))]


def _has_operator(run: Sequence[_Token]) -> bool:
    return any(token.kind == "op" for token in run[1:]) and all(token.kind != "equal" for token in run)


def _trimmed(run: list[_Token]) -> list[_Token]:
    while run and run[-1].kind != "number" and run[-1].text != ")":
        run = run[:-1]
    depth = sum((token.text == "(") - (token.text == ")") for token in run)
    while run and (
        run[0].kind == "equal" or (run[0].text in "+*/)" and run[0].kind == "op") or (depth > 0 and run[0].text == "(")
    ):
        depth -= run[0].text == "("
        run = run[1:]
    if depth < 0 and run and run[-1].text == ")":
        run = run[:-1]
    # A word for an operation that nothing stands before ("times 3") is none; a minus is a sign.
    while run and run[0].kind == "op" and _OPERATORS.get(run[0].text.casefold(), run[0].text) not in "-(":
        run = run[1:]
    return run


def _sides(run: Sequence[_Token]) -> list[list[_Token]]:
    sides: list[list[_Token]] = [[]]
    for token in run:
        if token.kind == "equal":
            sides.append([])
        else:
            sides[-1].append(token)
    return [side for side in sides if side]


def _shown(sides: Sequence[Sequence[_Token]], values: Sequence[Fraction | None]) -> Fraction | None:
    """The value of an equation that is written out on one of its sides; None for "6 times 3 is 3 times 6"."""
    alone = [value for side, value in zip(sides, values, strict=True) if len(side) <= 2]
    return alone[-1] if alone else None


def _is_told(run: Sequence[_Token]) -> bool:
    """Whether a run has numbers alone and a verb between them: "(5 from) 20 gives 15"."""
    verbs = [token for token in run if token.kind == "equal"]
    return bool(verbs) and all(token.text[0].isalpha() for token in verbs) and all(t.kind != "op" for t in run)


def _is_number(run: Sequence[_Token], start: int) -> bool:
    """A number, its sign perhaps before it; in brackets where a statement begins with them."""
    bare = [token for token in run if start > 0 or token.text not in "()"]
    return len(bare) <= 2


def _numbers(tokens: Sequence[_Token]) -> set[Fraction]:
    return {_value(token.text) for token in tokens if token.kind == "number"}


def _agree(one: Fraction | None, other: Fraction | None) -> bool:
    """Equal, or equal as written with two decimals."""
    return one is not None and other is not None and (one == other or abs(one - other) < Fraction(5, 1000))


def _evaluate(side: Sequence[_Token]) -> Fraction | None:
    """The value of a calculation (precedence, signs, brackets), or None where it is none."""
    symbols = [
        t.text if t.kind == "number" else _OPERATORS.get(" ".join(t.text.casefold().split()), t.text) for t in side
    ]
    if len(symbols) > 60:
        return None
    value, rest = _sum_of(symbols)
    return value if not rest else None


def _sum_of(symbols: list[str]) -> tuple[Fraction | None, list[str]]:
    value, rest = _product_of(symbols)
    while value is not None and rest and rest[0] in "+-":
        other, after = _product_of(rest[1:])
        if other is None:
            return None, rest
        value, rest = (value + other if rest[0] == "+" else value - other), after
    return value, rest


def _product_of(symbols: list[str]) -> tuple[Fraction | None, list[str]]:
    value, rest = _atom(symbols)
    while value is not None and rest and rest[0] in "*/":
        other, after = _atom(rest[1:])
        if other is None or (rest[0] == "/" and other == 0):
            return None, rest
        value, rest = (value * other if rest[0] == "*" else value / other), after
    return value, rest


def _atom(symbols: list[str]) -> tuple[Fraction | None, list[str]]:
    if not symbols:
        return None, symbols
    first, rest = symbols[0], symbols[1:]
    if first == "-":
        value, rest = _atom(rest)
        return (None if value is None else -value), rest
    if first == "(":
        value, rest = _sum_of(rest)
        return (value, rest[1:]) if rest and rest[0] == ")" else (None, rest)
    return (_value(first), rest) if first[0].isdigit() else (None, symbols)
