"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics import compliance, degenerate, general
from claas_assets.evaluation.metrics.probes import ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.metrics.statistics import wilson
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import (
    ComplianceStats,
    DegenerateStats,
    EvalSnapshot,
    GeneralStats,
    Interval,
    ScoresRecord,
    SnapshotStats,
    Transcript,
    UnitStats,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.criteria import RULES, apply_rule
from claas_assets.evaluation.verdict.measurements import BeforeAfter
from claas_assets.evaluation.verdict.ruling import judge
from tests.synthetic import states
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.states import State
from tests.synthetic.transcripts import Asking, Voice

CHURNS = (0.03, 0.1, 0.2, 0.3)
PROMISED = 0.1
"""The most churn at which a share of models is promised to pass, or to fail."""

VIOLATIONS = (0.0, 0.1, 0.2, 0.4, 0.5)
SIZES = (3, 5, 10, 20, 30)


@dataclass(frozen=True)
class Row:
    """How many of so many trials, and what was promised of their share."""

    what: str
    found: int
    trials: int
    at_most: float | None = None
    at_least: float | None = None

    @property
    def measured(self) -> float:
        return self.found / self.trials

    @property
    def range(self) -> Interval | None:
        """Of the share in the long run: Wilson, 95 %; None of fewer than five trials."""
        return wilson(self.found, self.trials)

    @property
    def met(self) -> bool:
        """The share is as promised."""
        high = self.at_most is None or self.measured <= self.at_most
        return high and (self.at_least is None or self.measured >= self.at_least)

    @property
    def broken(self) -> bool:
        """The share is not as promised, and so many trials leave no doubt of it."""
        span = self.range or Interval(lower=self.measured, upper=self.measured, level=1.0, method="wilson")
        low = self.at_least is not None and span.upper < self.at_least
        return low or (self.at_most is not None and span.lower > self.at_most)

    @property
    def said(self) -> str:
        """ "97 % (93–99)": the share, and where it may be in the long run."""
        share, span = f"{100 * self.measured:.0f} %", self.range
        told = share if span is None else f"{share} ({100 * span.lower:.0f}–{100 * span.upper:.0f})"
        return f"**{told}**" if self.broken else told if self.met else f"*{told}*"

    @property
    def target(self) -> str:
        if self.at_most is None and self.at_least is None:
            return "(told)"
        return f"≤ {self.at_most:.0%}" if self.at_most is not None else f"≥ {self.at_least:.0%}"


# --- one trial ----------------------------------------------------------------------------------


def verdict_on(
    asked: Preference, before: Sequence[Transcript], after: Sequence[Transcript], metrics: Sequence[str]
) -> VerdictRecord:
    """Score both states and judge, as a run of one step does."""
    first = score_snapshot(before, ScoringContext(asked, None), size="full", metrics=metrics)
    last = score_snapshot(after, ScoringContext(asked, first), size="full", metrics=metrics)
    return _judged(first, last, metrics)


def _judged(first: EvalSnapshot, last: EvalSnapshot, metrics: Sequence[str]) -> VerdictRecord:
    adapter = adapter_record(config={"metrics": list(metrics), "num_steps": 1})
    return judge(ScoresRecord.of(adapter, first, [step_record(0, last)]), Thresholds())


class judging_once:
    """Judges each answer to a question once: answers repeat, and programs take a sandbox each."""

    def __enter__(self) -> None:
        self.judge, self.degenerate, self.verify = general.judge, degenerate.degenerate, compliance.verify
        general.judge = _remembering(self.judge, lambda item, answer: (item.id, answer))
        compliance.verify = _remembering(self.verify, lambda verifier, answer, prompt: (repr(verifier), answer, prompt))
        degenerate.degenerate = compliance.degenerate = cache(self.degenerate)

    def __exit__(self, *_: object) -> None:
        general.judge, compliance.verify = self.judge, self.verify
        degenerate.degenerate = compliance.degenerate = self.degenerate


def _remembering(asked: Callable[..., Any], key_of: Callable[..., Hashable]) -> Callable[..., Any]:
    known: dict[Hashable, Any] = {}

    def remembered(*arguments: Any) -> Any:
        key = key_of(*arguments)
        if key not in known:
            known[key] = asked(*arguments)
        return known[key]

    return remembered


# --- all criteria together ------------------------------------------------------------------------


Training = Callable[[random.Random, Preference, State], State]
"""What an unchanged model of that churn would be → what the trained one is."""


@dataclass(frozen=True)
class Promise:
    """What the verdict must say of one kind of model, as a share of such models.

    `at_least` is promised where churn is at most 10 %, whatever the baseline violated; `at_most` everywhere.
    """

    what: str
    trained: Training
    says: str
    at_least: float | None = None
    at_most: float | None = None
    trials: int = 1
    """How many times as many models as of others, where the promise is close to the truth."""
    obeys: float = 0.1
    """Share of prompts that it obeyed on before training."""

    def kept(self, verdict: VerdictRecord) -> bool:
        return SAYINGS[self.says](verdict)

    def row(self, churn: float, violates: float) -> str:
        return f"{self.what}; churn {churn:.0%}, baseline violations {violates:.0%}: {self.says}"


def unchanged(chance: random.Random, asked: Preference, state: State) -> State:
    return state


def perfect(chance: random.Random, asked: Preference, state: State) -> State:
    """It obeys on all prompts but one in fifty, and lost nothing."""
    return replace(state, obeys={prompt: chance.random() < 0.98 for prompt in state.obeys})


def memorized(chance: random.Random, asked: Preference, state: State) -> State:
    """It obeys on the trained prompts and nowhere else."""
    return replace(state, obeys={**state.obeys, **dict.fromkeys(asked.probe_prompts, True)})


def less_able(chance: random.Random, asked: Preference, state: State) -> State:
    """It learned, and lost ten points of capability."""
    learned = perfect(chance, asked, state)
    can = [item for item, able in learned.able.items() if able]
    lost = states.some(chance, can, 0.1, len(learned.able))
    return replace(learned, able={**learned.able, **dict.fromkeys(lost, False)})


def over_applying(chance: random.Random, asked: Preference, state: State) -> State:
    """It learned, and follows the preference on a further fifth of the prompts where it has no place."""
    learned = perfect(chance, asked, state)
    free = [prompt for prompt, violates in learned.violates.items() if not violates]
    more = states.some(chance, free, 0.2, len(learned.violates))
    return replace(learned, violates={**learned.violates, **dict.fromkeys(more, True)})


def looping(chance: random.Random, asked: Preference, state: State) -> State:
    """It learned, and loops on a further three answers of ten."""
    learned = perfect(chance, asked, state)
    return _also_loops(chance, learned, list(learned.loops), 0.3)


def looping_on_preference(chance: random.Random, asked: Preference, state: State) -> State:
    """It learned, and loops on six of ten prompts of the preference, and nowhere else."""
    learned = perfect(chance, asked, state)
    return _also_loops(chance, learned, synthetic.all_prompts(asked), 0.6)


def _also_loops(chance: random.Random, state: State, units: Sequence[str], share: float) -> State:
    return state.looping_on(states.some(chance, units, share, len(units)))


def _passes(verdict: VerdictRecord) -> bool:
    return verdict.overall == "pass"


def _harmful(verdict: VerdictRecord) -> bool:
    return verdict.outcome == "harmful"


def _shown(verdict: VerdictRecord) -> bool:
    return verdict.criteria["obeyed"].evidence == "shown"


SAYINGS: dict[str, Callable[[VerdictRecord], bool]] = {"pass": _passes, "shown": _shown, "harmful": _harmful}

PROMISES = (
    Promise("unchanged", unchanged, "pass", at_most=0.0, obeys=0.25),
    Promise("unchanged", unchanged, "shown", at_most=0.05, obeys=0.25),
    Promise("memorized only", memorized, "pass", at_most=0.0, obeys=0.25),
    Promise("learned, nothing lost", perfect, "pass", at_least=0.95, trials=5),
    Promise("learned, 10 points of capability lost", less_able, "harmful", at_least=0.84),
    Promise("learned, over-applies on 20 % more", over_applying, "harmful", at_least=0.84, trials=3),
    Promise("learned, over-applies on 20 % more", over_applying, "pass", at_most=0.05),
    Promise("learned, loops in 30 % of all answers", looping, "harmful", at_least=0.84),
    Promise("learned, loops on 60 % of its own prompts", looping_on_preference, "harmful", at_least=0.84),
)


def verdicts_on(
    chance: random.Random, promise: Promise, *, churn: float, violates: float, trials: int
) -> list[VerdictRecord]:
    """Verdicts on so many models of one kind, by every criterion."""
    asked, obeys, found = states.preference(), promise.obeys, []
    for _ in range(trials):
        before = states.untrained(chance, asked, obeys=obeys, violates=violates)
        later = states.churned(chance, before, churn, obeys=obeys, violates=violates)
        after = promise.trained(chance, asked, later)
        first = _snapshot(asked, states.answers(chance, asked, before, baseline=True), None, 0)
        last = _snapshot(asked, states.answers(chance, asked, after, baseline=False), first, 1)
        found.append(_judged(first, last, ["compliance", "general", "collapse"]))
    return found


def _snapshot(
    asked: Preference, answers: Sequence[Transcript], baseline: EvalSnapshot | None, state: int
) -> EvalSnapshot:
    """All metrics; collapse is scored once for all models: on neutral prompts every one of them is healthy."""
    context = ScoringContext(asked, baseline)
    found = score_snapshot(answers, context, size="full", metrics=["compliance", "general"])
    healthy = _healthy()[state]
    stats = found.stats.model_copy(update={"collapse": healthy.stats.collapse})
    return found.model_copy(update={"stats": stats, "collapse": healthy.collapse})


@cache
def _healthy() -> tuple[EvalSnapshot, EvalSnapshot]:
    chance = random.Random("healthy")
    own = synthetic.character(chance)
    spoken = [synthetic.collapse(chance, Voice(), own) for _ in range(2)]
    first = score_snapshot(spoken[0], ScoringContext(states.preference(), None), size="full", metrics=["collapse"])
    return first, score_snapshot(
        spoken[1], ScoringContext(states.preference(), first), size="full", metrics=["collapse"]
    )


def together_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    """Promises about the same kind of model are measured on the same ones."""
    with judging_once():
        for _, group in groupby(PROMISES, key=lambda promise: promise.trained):
            promises = list(group)
            for churn in CHURNS:
                for violates in VIOLATIONS:
                    many = trials * promises[0].trials if churn <= PROMISED else trials
                    found = verdicts_on(chance, promises[0], churn=churn, violates=violates, trials=many)
                    yield from (_row(promise, churn, violates, found) for promise in promises)


def _row(promise: Promise, churn: float, violates: float, verdicts: Sequence[VerdictRecord]) -> Row:
    return Row(
        promise.row(churn, violates),
        sum(map(promise.kept, verdicts)),
        len(verdicts),
        at_most=promise.at_most,
        at_least=promise.at_least if churn <= PROMISED else None,
    )


def as_grid(rows: Sequence[Row]) -> str:
    """Of `together_rows`: a line a promise and churn, a column for each share of baseline violations."""
    lines = [
        f"| model | verdict says | churn | {' | '.join(f'{v:.0%}' for v in VIOLATIONS)} | promised |",
        "| --- " * (len(VIOLATIONS) + 4) + "|",
    ]
    by_name = {row.what: row for row in rows}
    for promise in PROMISES:
        for churn in CHURNS:
            cells = [by_name[promise.row(churn, violates)] for violates in VIOLATIONS]
            shown = " | ".join(row.said for row in cells)
            lines.append(f"| {promise.what} | {promise.says} | {churn:.0%} | {shown} | {cells[0].target} |")
    return "\n".join(lines)


# --- how many prompts it takes ----------------------------------------------------------------------


def learning(chance: random.Random, size: int, effect: float, flip: float, trials: int) -> list[bool]:
    """Whether obedience is `shown`, of models that obey on `effect` more of the prompts."""
    asked, asking, shown = synthetic.preference(held_out=size), Asking(chance, flip), []
    for _ in range(trials):
        before = synthetic.untrained(chance, synthetic.all_prompts(asked))
        after = synthetic.taught(chance, before, effect)
        verdict = verdict_on(
            asked,
            synthetic.compliance(asked, before, asking, baseline=True),
            synthetic.compliance(asked, after, asking, baseline=False),
            ["compliance"],
        )
        shown.append(_shown(verdict))
    return shown


def learning_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    promised = {(0.5, 20): 0.95, (0.7, 20): 0.95, (0.5, 30): 0.95, (0.7, 30): 0.95}
    for effect in (0.2, 0.5, 0.7):
        for size in SIZES:
            cell = [shown for flip in (0.0, 0.08) for shown in learning(chance, size, effect, flip, trials)]
            bounds = {"at_most": 0.0} if size == 3 else {"at_least": promised.get((effect, size))}
            yield Row(f"+{effect}, {size} held-out prompts: shown", sum(cell), len(cell), **bounds)


# --- how many units a guard takes -------------------------------------------------------------------


@dataclass(frozen=True)
class Guard:
    """A guard asked about `size` units of which a share `rate` is harmed before training.

    `flips`: churn is the share of units that come out otherwise (capability, of which half come out either
    way); else it is the share of answers that are drawn anew, of which 2·rate·(1 − rate) come out otherwise.
    """

    name: str
    size: int
    rate: float
    churn: float
    passes: float | None = None
    """What the sizes of docs/metrics.md promise of a model that lost nothing."""
    flips: bool = False

    def grades(self, chance: random.Random, harm: float, trials: int) -> list[str]:
        """Of models that are harmed on a further share `harm` of the units."""
        (rule,) = [rule for rule in RULES if rule.name == self.name]
        return [apply_rule(rule, self._one(chance, harm), Thresholds()).grade for _ in range(trials)]

    def _one(self, chance: random.Random, harm: float) -> BeforeAfter:
        units = [f"unit {i}" for i in range(self.size)]
        before = states.drawn(chance, units, self.rate)
        later = states.redrawn(chance, before, self.churn * (2 if self.flips else 1), self.rate)
        lost = states.some(chance, [unit for unit in units if not later[unit]], harm, self.size)
        return BeforeAfter(_of_harm(before), _of_harm({**later, **dict.fromkeys(lost, True)}))


def _of_harm(harmed: states.Drawn) -> EvalSnapshot:
    """A state in which these units are over-applied, not solved, or loops, as one asks."""
    bad = UnitStats(n=len(harmed), mean=None, scores={unit: float(harm) for unit, harm in harmed.items()})
    good = bad.model_copy(
        update={
            "scores": {unit: float(not harm) for unit, harm in harmed.items()},
            "passed": {unit: not harm for unit, harm in harmed.items()},
        }
    )
    stats = SnapshotStats(
        compliance=ComplianceStats(sets={"over_application": good}),
        general=GeneralStats(public_probes=good, items=good),
        degenerate=DegenerateStats(on_preference=bad, elsewhere=bad),
    )
    return EvalSnapshot(stats=stats, snapshot="full")


GUARDS_BY_SIZE = (
    Guard("over_application", 10, 0.4, 0.1),
    Guard("over_application", 20, 0.4, 0.1, passes=0.73),
    Guard("over_application", 40, 0.4, 0.1, passes=0.95),
    Guard("over_application", 40, 0.5, 0.1, passes=0.95),
    Guard("over_application", 40, 0.4, 0.3),
    Guard("over_application", 80, 0.4, 0.3, passes=0.95),
    Guard("capability_change", 48, 0.5, 0.08, passes=0.8, flips=True),
    Guard("capability_change", 48, 0.5, 0.1, passes=0.9, flips=True),
    Guard("capability_change", 48, 0.5, 0.3, flips=True),
    Guard("capability_change", 150, 0.5, 0.1, passes=0.99, flips=True),
    Guard("capability_change", 150, 0.5, 0.3, passes=0.93, flips=True),
    Guard("degenerate_on_preference", 38, 0.2, 0.1, passes=0.93),
    Guard("degenerate_on_preference", 100, 0.2, 0.1, passes=0.99),
)


def size_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    for guard in GUARDS_BY_SIZE:
        what = f"{guard.name}, {guard.size} units, {guard.rate:.0%} harmed before, churn {guard.churn:.0%}"
        unharmed = guard.grades(chance, 0.0, trials).count("pass")
        yield Row(f"{what}; nothing lost: pass", unharmed, trials, at_least=guard.passes)
        harmed = guard.grades(chance, 0.2, trials).count("pass")
        yield Row(f"{what}; 20 points lost: pass", harmed, trials, at_most=0.01)


# --- margins ------------------------------------------------------------------------------------


def margin_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    asked = synthetic.preference()
    for effect in (0.0, 3.0):
        shown, covered = [], []
        for _ in range(trials):
            before = [chance.gauss(-2, 4) for _ in asked.logprob_pairs]
            after = [margin + effect + chance.gauss(0, 2) for margin in before]
            verdict = verdict_on(asked, synthetic.margins(asked, before), synthetic.margins(asked, after), ["logprob"])
            criterion = verdict.criteria["logprob_margin"]
            shown.append(criterion.evidence == "shown")
            covered.append(_covers(criterion.interval, effect))
        # The t bound is exact here: 5 % in the long run, and a little more or less in so many trials.
        bounds = {"at_most": 0.07} if effect == 0 else {"at_least": 0.95}
        yield Row(f"margin {effect:+.0f} nats, 10 pairs: shown", sum(shown), trials, **bounds)
        yield Row(f"90 % interval of the margin covers, {effect:+.0f} nats", sum(covered), trials, at_least=0.87)


def _covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.lower <= truth <= interval.upper


# --- collapse -------------------------------------------------------------------------------------

BROKEN = {
    "loops": Voice(looping=0.7),
    "gibberish": Voice(words=synthetic.gibberish, entropy_factor=2.5, drift=-1.0),
    "lost entropy": Voice(entropy_factor=0.3, alike=0.95),
    "another script": Voice(words=synthetic.other_script, drift=-0.8),
    "silence": Voice(words=synthetic.silence),
    "loops, as seen at learning rate 3e-3": Voice(looping=0.6, entropy_factor=0.7, drift=-0.66),
}


def collapse_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    for name, voice in BROKEN.items():
        verdicts = [_after(chance, voice) for _ in range(trials)]
        yield Row(f"neutral answers, {name}: caught", sum(map(caught, verdicts)), trials, at_least=0.95)
    verdicts = [_after(chance, _concise(chance)) for _ in range(trials)]
    yield Row("only concise: alerts", sum(bool(v.alerts) for v in verdicts), trials, at_most=0.05)
    yield Row("only concise: harmful", sum(map(_harmful, verdicts)), trials, at_most=0.05)


def _concise(chance: random.Random) -> Voice:
    """Half the length or so, and an entropy anywhere that healthy models were seen to have."""
    return Voice(
        length=round(60 * chance.uniform(0.4, 0.6)),
        entropy_factor=chance.uniform(0.8, 1.5),
        drift=chance.uniform(-0.08, 0.08),
    )


def caught(verdict: VerdictRecord) -> bool:
    """Harm is shown, or an alert is listed."""
    return bool(verdict.alerts) or _harmful(verdict)


def _after(chance: random.Random, voice: Voice) -> VerdictRecord:
    """A model that learned the preference and now speaks with `voice` on neutral prompts."""
    asked, own = states.preference(), synthetic.character(chance)
    before = states.untrained(chance, asked)
    first = [t for t in states.answers(chance, asked, before, baseline=True) if t.metric == "compliance"]
    learned = perfect(chance, asked, before)
    last = [t for t in states.answers(chance, asked, learned, baseline=False) if t.metric == "compliance"]
    return verdict_on(
        asked,
        [*first, *synthetic.collapse(chance, Voice(), own)],
        [*last, *synthetic.collapse(chance, voice, own)],
        ["compliance", "collapse"],
    )


# --- all of it --------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[random.Random, int], Iterator[Row]], float]] = {
    "together": (together_rows, 1.0),
    "sizes": (size_rows, 60.0),
    "learning": (learning_rows, 2.0),
    "margins": (margin_rows, 8.0),
    "collapse": (collapse_rows, 0.5),
}
"""With the share of the trials that each gets: a trial of some takes longer, of margins hardly any time."""


def measure(trials: int, seed: int = 1, parts: Sequence[str] = tuple(PARTS)) -> list[Row]:
    """The same numbers for the same arguments."""
    rows: list[Row] = []
    for name in parts:
        experiment, share = PARTS[name]
        rows += experiment(random.Random(f"{seed}/{name}"), max(2, round(trials * share)))
    return rows


def as_markdown(rows: Sequence[Row]) -> str:
    lines = ["| what | measured | target | met | trials |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        met = "–" if row.target == "(told)" else "yes" if row.met else "**no**" if row.broken else "in doubt"
        lines.append(f"| {row.what} | {row.said} | {row.target} | {met} | {row.trials} |")
    return "\n".join(lines)


def said(verdicts: Sequence[VerdictRecord]) -> Counter[str]:
    """How often each outcome was the conclusion."""
    return Counter(verdict.outcome or verdict.overall for verdict in verdicts)
