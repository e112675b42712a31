"""The items of the general-capability metric, and the programs that judge an answer to them.

All items are in `data/capability.yaml`, each with a reference answer that passes and a wrong one that does
not. What counts as right, by kind:

| kind | right when |
| --- | --- |
| code | the function, run in the sandbox, returns what is expected for every test (`sandbox.same_value`) |
| instruction | every rule is followed, in the loose reading or the strict one (`instructions`) |
| arithmetic | the number that the answer arrives at is the expected one (`extraction.final_number`) |
| fact, extraction | one of `accept` appears as a whole word, in any case, and none of `without` does |

An empty answer is right for none. Strict and loose differ for instructions only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from claas_assets.evaluation.metrics.extraction import code_candidates, final_number
from claas_assets.evaluation.metrics.instructions import Rule, loose_problem, strict_problem
from claas_assets.evaluation.preferences.verifiers import find_name
from claas_assets.evaluation.sandbox.runner import SandboxResult, run_function, same_value
from claas_assets.evaluation.storage.records import Unmeasured

Kind = Literal["code", "instruction", "arithmetic", "fact", "extraction"]
NOMINAL_MAX_TOKENS = 256
"""The budget of a probe for which the items' own caps are written (that of the embedded mode)."""


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
        strict, loose = strict_problem(self.rules, answer), loose_problem(self.rules, answer)
        detail = loose or (f"followed loosely only: {strict}" if strict else "followed")
        return Judgment(loose is None, strict is None, detail)


class ArithmeticItem(_Item):
    kind: Literal["arithmetic"] = "arithmetic"
    max_tokens: int = Field(default=128, ge=8)
    answer: int | float

    def judge(self, answer: str) -> Judgment | Unmeasured:
        number = final_number(answer)
        if number == Decimal(str(self.answer)):
            return _judgment(None, f"arrives at {number}")
        return _judgment("no number in the answer" if number is None else f"arrives at {number}, not {self.answer}")


class TextItem(_Item):
    kind: Literal["fact", "extraction"]
    max_tokens: int = Field(default=48, ge=8)
    accept: tuple[str, ...] = Field(min_length=1)
    without: tuple[str, ...] = ()

    def judge(self, answer: str) -> Judgment | Unmeasured:
        text = " ".join(answer.split())
        found = next((word for word in self.accept if find_name(text, word)), None)
        unwanted = next((word for word in self.without if find_name(text, word)), None)
        if found is None:
            return _judgment(f"none of {', '.join(map(repr, self.accept))} is there")
        return _judgment(None if unwanted is None else f"{unwanted!r} is there as well", f"{found!r} is there")


Item = Annotated[CodeItem | InstructionItem | ArithmeticItem | TextItem, Field(discriminator="kind")]


class CapabilitySet(BaseModel):
    """`data/capability.yaml`. `version` rises with any change of an item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    public_probes: tuple[Item, ...]
    items: tuple[Item, ...]

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
    return CapabilitySet(**yaml.safe_load(text))


def judge(item: Item, answer: str) -> Judgment | Unmeasured:
    """Whether `answer` is right; `Unmeasured` where no sandbox can say so. Pure but for running code."""
    if not answer.strip():
        return _judgment("the answer is empty")
    return item.judge(answer)


def items_by_id(items: Sequence[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


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
