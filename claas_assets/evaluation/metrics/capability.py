"""The items of the general-capability metric, and the programs that judge an answer to them.

All items are in `data/capability.yaml`, each with a reference answer that passes and a wrong one that does
not. What counts as right, by kind:

| kind | right when |
| --- | --- |
| code | the function, run in the sandbox, returns what is expected for every test (`sandbox.same_value`) |
| instruction | every rule is followed, in the loose reading or the strict one (`instructions`) |
| arithmetic, numbers | the answer states the number, no other one in its place, and no false calculation (`numbers`) |
| fact, extraction | the answer states one of `accept`, about what was asked, and no other answer (`statements`) |

An empty answer or a loop is right for none. Strict and loose differ for instructions only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import regex
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from claas_assets.evaluation.metrics.degenerate import degenerate
from claas_assets.evaluation.metrics.extraction import code_candidates
from claas_assets.evaluation.metrics.instructions import Rule, loose_problem, strict_problem
from claas_assets.evaluation.metrics.numbers import number_problem
from claas_assets.evaluation.metrics.statements import content_words, plain, text_problem
from claas_assets.evaluation.preferences.refusals import refusal
from claas_assets.evaluation.preferences.verifiers.names import fold_spaces
from claas_assets.evaluation.sandbox.runner import SandboxResult, run_function, same_value
from claas_assets.evaluation.storage.records import SnapshotScale, Unmeasured

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it: six times as fast
MAX_JUDGED = 20_000
"""Characters of an answer that are read at all; far beyond every item's budget of tokens."""
LOOP = "the answer repeats itself without end"
NOMINAL_MAX_TOKENS = 256
"""The budget of a probe for which the items' own caps are written (a narrower one cuts them)."""


@dataclass(frozen=True)
class Judgment:
    """`loose` and `strict`: whether the answer is right, in either reading. `run`: what the sandbox saw."""

    loose: bool
    strict: bool
    detail: str
    run: SandboxResult | None = None


class _Item(BaseModel):
    """`max_tokens`: the answer's cap where the probe's budget is `NOMINAL_MAX_TOKENS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    prompt: str = Field(min_length=1)
    reference: str = Field(min_length=1)
    wrong: str
    max_tokens: int = Field(ge=8)

    def budget(self, max_tokens: int) -> int:
        """The cap of this item's answer under a probe budget of `max_tokens` tokens.

        A wider budget than the nominal one widens the cap as well: a model that thinks spends tokens on it.
        """
        return min(max_tokens, self.max_tokens * max(1, max_tokens // NOMINAL_MAX_TOKENS))


class CodeTest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    args: tuple[Any, ...]
    result: Any


class CodeItem(_Item):
    kind: Literal["code"] = "code"
    max_tokens: int = Field(default=256, ge=8)
    function: str
    tests: tuple[CodeTest, ...] = Field(min_length=1)

    def judge(self, answer: str) -> Judgment | Unmeasured:
        run = _run(tuple(code_candidates(answer)), self.function, json.dumps([test.args for test in self.tests]))
        if run.status == "unavailable":
            return Unmeasured(kind="failed", reason=f"the answer's code could not be run: {run.reason}")
        problem = next(filter(None, map(self._problem, self.tests, run.calls)), None)
        return _judgment(problem, f"right for {len(self.tests)} inputs", run)

    def _problem(self, test: CodeTest, call: Any) -> str | None:
        said = f"{self.function}({', '.join(map(repr, test.args))})"
        if call.error is not None:
            return f"{said}: {call.error}"
        if not same_value(test.result, call.value):
            return f"{said} returned {_shortened(call.value)}, not {test.result!r}"
        return None


class InstructionItem(_Item):
    kind: Literal["instruction"] = "instruction"
    max_tokens: int = Field(default=160, ge=8)
    rules: tuple[Rule, ...] = Field(min_length=1)

    def judge(self, answer: str) -> Judgment | Unmeasured:
        if (refused := refusal(answer)) is not None:
            return _judgment(f"a refusal ({refused!r})")
        if fold_spaces(answer).casefold() == fold_spaces(self.prompt).casefold():
            return _judgment("the prompt said back")
        strict, loose = strict_problem(self.rules, answer), loose_problem(self.rules, answer)
        detail = loose or (f"followed loosely only: {strict}" if strict else "followed")
        return Judgment(loose is None, strict is None, detail)


class ClosedItem(_Item):
    """A question with one short answer: a number (`answer`), or one of some texts (`accept`)."""

    kind: Literal["arithmetic", "fact", "extraction"]
    max_tokens: int = Field(default=128, ge=8)
    answer: Decimal | None = None
    """The number, where the answer is one."""
    units: tuple[str, ...] = ()
    """What `answer` counts, in all its names: a number of something else is another quantity."""
    accept: tuple[str, ...] = ()
    """Spellings of the answer, where it is a text; found as whole words, in any case."""
    without: tuple[str, ...] = ()
    """Other answers: one of them, not denied, is another answer, or one too many."""
    rejects: tuple[str, ...] = ()
    """Patterns of statements that have the right words in a wrong role ("days in a month")."""
    explains: tuple[str, ...] = ()
    """Patterns of true asides, which are passed over before anything is looked for."""
    about: tuple[str, ...] = ()
    """Beginnings of further words that a sentence about the question may have, beside those of the prompt."""

    @model_validator(mode="after")
    def _one_answer(self) -> ClosedItem:
        if (self.answer is None) == (not self.accept):
            raise ValueError(f"item {self.id}: give answer or accept")
        return self

    def judge(self, answer: str) -> Judgment | Unmeasured:
        text = plain(answer).replace(plain(self.prompt), " ")
        for pattern in self.explains:
            text = regex.sub(pattern, " ", text, flags=regex.IGNORECASE)
        said = " ".join(text.split())
        for pattern in self.rejects:
            if (match := regex.search(pattern, said, regex.IGNORECASE)) is not None:
                return _judgment(f"says {match.group()[:60]!r}")
        if self.answer is not None:
            problem = number_problem(
                text, self.answer, plain(self.prompt), self.units, given_may_be_right=self.kind == "extraction"
            )
            return _judgment(problem, f"states {self.answer}")
        problem = text_problem(text, self.accept, self.without, content_words(self.prompt), self.about)
        return _judgment(problem, f"states {self.accept[0]!r}")


Item = Annotated[CodeItem | InstructionItem | ClosedItem, Field(discriminator="kind")]


class CapabilitySet(BaseModel):
    """`data/capability.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    """Rises with any change of an item: scores of two versions are not comparable."""
    public_probes: tuple[Item, ...]
    """Those of the public harness's kind, asked at every step."""
    quick_items: tuple[Item, ...]
    """48 items, all of them of the first version: what a `quick` snapshot asks."""
    further_items: tuple[Item, ...] = ()
    """102 more, which a `standard` snapshot asks too."""

    @property
    def items(self) -> tuple[Item, ...]:
        """All but the public harness's probes."""
        return (*self.quick_items, *self.further_items)

    @model_validator(mode="after")
    def _check(self) -> CapabilitySet:
        for group in (self.public_probes, self.items):
            for values in ([item.id for item in group], [item.prompt for item in group]):
                twice = [value for value in values if values.count(value) > 1]
                if twice:
                    raise ValueError(f"two items have the id or prompt {twice[0]!r}")
        return self


@cache
def load_capability() -> CapabilitySet:
    """The items that come with this version of the package."""
    text = (files("claas_assets.evaluation.metrics") / "data" / "capability.yaml").read_text(encoding="utf-8")
    return CapabilitySet(**yaml.load(text, Loader=_LOADER))


def capability_items(size: SnapshotScale = "standard") -> tuple[Item, ...]:
    """The items that a full snapshot of this size asks."""
    known = load_capability()
    return known.quick_items if size == "quick" else known.items


def judge(item: Item, answer: str) -> Judgment | Unmeasured:
    """Whether `answer` is right; `Unmeasured` where no sandbox can say so. Pure but for running code.

    An empty answer and a loop (`degenerate`) are right for no item but a program, which is run. Of an answer
    longer than `MAX_JUDGED` characters the beginning is judged, and the detail says so.
    """
    if not answer.strip():
        return _judgment("the answer is empty")
    judged = item.judge(answer[:MAX_JUDGED]) if item.kind == "code" or not degenerate(answer) else _judgment(LOOP)
    if len(answer) > MAX_JUDGED and isinstance(judged, Judgment):
        return replace(judged, detail=f"{judged.detail} (of the first {MAX_JUDGED} characters)")
    return judged


def _run(candidates: tuple[str, ...], function: str, inputs: str) -> SandboxResult:
    """One run of the same program in a process: table, collapse series, verdict and plots then agree, and cost one."""
    result = _run_once(candidates, function, inputs)
    if result.status == "unavailable":
        _run_once.cache_clear()  # the system may grant it next time
    return result


@lru_cache(maxsize=2048)
def _run_once(candidates: tuple[str, ...], function: str, inputs: str) -> SandboxResult:
    return run_function(candidates, function, json.loads(inputs))


def _judgment(problem: str | None, right: str = "", run: SandboxResult | None = None) -> Judgment:
    return Judgment(problem is None, problem is None, problem or right, run)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
