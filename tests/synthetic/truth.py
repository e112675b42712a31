"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics import general
from claas_assets.evaluation.metrics.capability import Item, Judgment
from claas_assets.evaluation.metrics.probes import ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import (
    EvalSnapshot,
    Interval,
    ScoresRecord,
    Transcript,
    Unmeasured,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.ruling import judge
from tests.synthetic import states, transcripts as synthetic
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.states import State
from tests.synthetic.transcripts import Asking, Voice

CHURNS = (0.03, 0.1, 0.2, 0.3)
VIOLATIONS = (0.0, 0.1, 0.2, 0.4, 0.5)
SIZES = (3, 5, 10, 20, 30)


@dataclass(frozen=True)
class Row:
    """A share measured over `trials`, and what was promised of it."""

    what: str
    measured: float
    trials: int
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        high = self.at_most is None or self.measured <= self.at_most
        return high and (self.at_least is None or self.measured >= self.at_least)

    @property
    def target(self) -> str:
        if self.at_most is None and self.at_least is None:
            return "(told)"
        return f"≤ {self.at_most:.0%}" if self.at_most is not None else f"≥ {self.at_least:.0%}"


# --- one trial ----------------------------------------------------------------------------------


def verdict_on(
    asked: Preference, before: Sequence[Transcript], after: Sequence[Transcript], metrics: Sequence[str]
) -> tuple[VerdictRecord, EvalSnapshot, EvalSnapshot]:
    """Score both states and judge, as a run of one step does."""
    first = score_snapshot(before, ScoringContext(asked, None), size="full", metrics=metrics)
    last = score_snapshot(after, ScoringContext(asked, first), size="full", metrics=metrics)
    adapter = adapter_record(config={"metrics": list(metrics), "num_steps": 1})
    scores = ScoresRecord.of(adapter, first, [step_record(0, last)])
    return judge(scores, Thresholds()), first, last


class judging_once:
    """Judges each (item, answer) once: a trial's answers repeat, and programs take a sandbox each."""

    def __enter__(self) -> None:
        self.original = general.judge
        verdicts: dict[tuple[str, str], Judgment | Unmeasured] = {}

        def remembered(item: Item, answer: str) -> Judgment | Unmeasured:
            key = (item.id, answer)
            if key not in verdicts:
                verdicts[key] = self.original(item, answer)
            return verdicts[key]

        general.judge = remembered

    def __exit__(self, *_: object) -> None:
        general.judge = self.original


# --- all criteria together ------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One kind of model, and what the verdict must say of it where churn is at most 10 %."""

    what: str
    trained: Callable[[random.Random, Preference, State], State]
    """The state after training, of what an unchanged model of that churn would be."""
    said: Callable[[VerdictRecord], bool]
    saying: str
    at_most: float | None = None
    at_least: float | None = None
    most_violations: float = 1.0
    """Share of over-application prompts violated before training, up to which `at_least` is promised."""


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
    return replace(learned, able={**learned.able, **dict.fromkeys(states.some(chance, can, 0.1, len(learned.able)), False)})


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


CASES = (
    Case("unchanged", unchanged, _passes, "pass", at_most=0.0),
    Case("unchanged (a placebo)", unchanged, _shown, "shown", at_most=0.05),
    Case("memorized only", memorized, _passes, "pass", at_most=0.0),
    Case("perfect, nothing lost", perfect, _passes, "pass", at_least=0.95),
    Case("learned, 10 points of capability lost", less_able, _harmful, "harmful", at_least=0.84),
    Case("learned, over-applies on a further 20 %", over_applying, _harmful, "harmful", at_least=0.84, most_violations=0),
    Case("learned, over-applies on a further 20 %", over_applying, _passes, "pass", at_most=0.05),
    Case("learned, loops in a further 30 % of all answers", looping, _harmful, "harmful", at_least=0.84),
    Case("learned, loops on 60 % of its own prompts only", looping_on_preference, _harmful, "harmful", at_least=0.84),
)


def outcomes(
    chance: random.Random, case: Case, *, churn: float, violates: float, trials: int, obeys: float = 0.1
) -> list[VerdictRecord]:
    """Verdicts on `trials` models of one case; every criterion is judged."""
    asked, found = states.preference(), []
    for _ in range(trials):
        before = states.untrained(chance, asked, obeys=obeys, violates=violates)
        later = states.churned(chance, before, churn, obeys=obeys, violates=violates)
        after = case.trained(chance, asked, later)
        spoken = _healthy()[chance.randrange(len(_healthy()))]
        margins = [chance.gauss(-2, 4) for _ in asked.logprob_pairs]
        verdict, _, _ = verdict_on(
            asked,
            [*states.answers(chance, asked, before, baseline=True), *spoken[0], *synthetic.margins(asked, margins)],
            [*states.answers(chance, asked, after, baseline=False), *spoken[1], *synthetic.margins(asked, margins)],
            ["logprob", "compliance", "general", "collapse"],
        )
        found.append(verdict)
    return found


@cache
def _healthy() -> list[tuple[list[Transcript], list[Transcript]]]:
    """Collapse answers before and after, of models whose language is whole; few, since comparing them takes long."""
    chance, pairs = random.Random("healthy"), []
    for _ in range(4):
        own = synthetic.character(chance)
        pairs.append((synthetic.collapse(chance, Voice(), own), synthetic.collapse(chance, Voice(), own)))
    return pairs


def together_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    with judging_once():
        for case in CASES:
            for churn in CHURNS:
                for violates in VIOLATIONS:
                    yield _row(chance, case, churn, violates, trials)


def _row(chance: random.Random, case: Case, churn: float, violates: float, trials: int) -> Row:
    verdicts = outcomes(chance, case, churn=churn, violates=violates, trials=trials)
    promised = churn <= 0.1 and violates <= case.most_violations
    return Row(
        f"{case.what}; churn {churn:.0%}, baseline violations {violates:.0%}: {case.saying}",
        fmean(map(case.said, verdicts)),
        trials,
        at_most=case.at_most,
        at_least=case.at_least if promised else None,
    )


def as_grid(rows: Sequence[Row]) -> str:
    """Of `together_rows`: a line a case and churn, a column for each share of baseline violations."""
    lines = [
        f"| model → said | churn | {' | '.join(f'{v:.0%}' for v in VIOLATIONS)} | promised |",
        "| --- " * (len(VIOLATIONS) + 3) + "|",
    ]
    by_name = {row.what: row for row in rows}
    for case in CASES:
        for churn in CHURNS:
            cells = [
                by_name[f"{case.what}; churn {churn:.0%}, baseline violations {v:.0%}: {case.saying}"]
                for v in VIOLATIONS
            ]
            shown = " | ".join(f"{row.measured:.0%}" if row.met else f"**{row.measured:.0%}**" for row in cells)
            lines.append(f"| {case.what} → {case.saying} | {churn:.0%} | {shown} | {cells[0].target} |")
    return "\n".join(lines)


# --- how many prompts it takes ----------------------------------------------------------------------


def learning(chance: random.Random, size: int, effect: float, flip: float, trials: int) -> list[bool]:
    """Whether obedience is `shown`, of models that obey on `effect` more of the prompts."""
    asked, asking, shown = synthetic.preference(held_out=size), Asking(chance, flip), []
    for _ in range(trials):
        before = synthetic.untrained(chance, synthetic.all_prompts(asked))
        after = synthetic.taught(chance, before, effect)
        verdict, _, _ = verdict_on(
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
            never = {"at_most": 0.0} if size == 3 else {"at_least": promised.get((effect, size))}
            yield Row(f"+{effect}, {size} held-out prompts: shown", fmean(cell), len(cell), **never)


# --- margins ------------------------------------------------------------------------------------


def margin_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    asked = synthetic.preference()
    for effect in (0.0, 3.0):
        shown, covered = [], []
        for _ in range(trials):
            before = [chance.gauss(-2, 4) for _ in asked.logprob_pairs]
            after = [margin + effect + chance.gauss(0, 2) for margin in before]
            verdict, _, _ = verdict_on(
                asked, synthetic.margins(asked, before), synthetic.margins(asked, after), ["logprob"]
            )
            criterion = verdict.criteria["logprob_margin"]
            shown.append(criterion.evidence == "shown")
            covered.append(_covers(criterion.interval, effect))
        # The t bound is exact here: 5 % in the long run, and a little more or less in so many trials.
        bounds = {"at_most": 0.07} if effect == 0 else {"at_least": 0.95}
        yield Row(f"margin {effect:+.0f} nats, 10 pairs: shown", fmean(shown), trials, **bounds)
        yield Row(f"90 % interval of the margin covers, {effect:+.0f} nats", fmean(covered), trials, at_least=0.87)


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
        yield Row(f"neutral answers, {name}: caught", fmean(map(caught, verdicts)), trials, at_least=0.95)
    verdicts = [_after(chance, _concise(chance)) for _ in range(trials)]
    yield Row("only concise: alerts", fmean(bool(v.alerts) for v in verdicts), trials, at_most=0.05)
    yield Row("only concise: harmful", fmean(map(_harmful, verdicts)), trials, at_most=0.05)


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
    )[0]


# --- all of it --------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[random.Random, int], Iterator[Row]], float]] = {
    "together": (together_rows, 0.5),
    "learning": (learning_rows, 1.0),
    "margins": (margin_rows, 4.0),
    "collapse": (collapse_rows, 0.25),
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
        met = "–" if row.target == "(told)" else "yes" if row.met else "**no**"
        lines.append(f"| {row.what} | {row.measured:.1%} | {row.target} | {met} | {row.trials} |")
    return "\n".join(lines)


def said(verdicts: Sequence[VerdictRecord]) -> Counter[str]:
    """How often each outcome was the conclusion."""
    return Counter(verdict.outcome or verdict.overall for verdict in verdicts)
