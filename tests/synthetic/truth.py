"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.transcripts import Asking, Voice

SIZES = (3, 5, 10, 20, 30)
FLIPS = (0.0, 0.03, 0.08)
EFFECTS = (0.0, 0.2, 0.5, 0.7)


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


def _covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.lower <= truth <= interval.upper


# --- compliance: is a change shown when there is one, and only then? ------------------------------


@dataclass
class Learning:
    """Outcomes of one size, effect and flip rate."""

    shown: list[bool]
    change_covered: list[bool]
    rate_covered: list[bool]


def learning(chance: random.Random, size: int, effect: float, flip: float, trials: int) -> Learning:
    asked, asking = synthetic.preference(held_out=size), Asking(chance, flip)
    found = Learning([], [], [])
    for _ in range(trials):
        before = synthetic.untrained(chance, synthetic.all_prompts(asked))
        after = synthetic.taught(chance, before, effect)
        verdict, _, last = verdict_on(
            asked,
            synthetic.compliance(asked, before, asking, baseline=True),
            synthetic.compliance(asked, after, asking, baseline=False),
            ["compliance"],
        )
        criterion = verdict.criteria["compliance"]
        rate = asking.seen(synthetic.BASE_RATE + effect)
        found.shown.append(criterion.evidence == "shown")
        found.change_covered.append(_covers(criterion.interval, rate - asking.seen(synthetic.BASE_RATE)))
        stats = last.stats.compliance
        found.rate_covered.append(_covers(stats.sets["heldout_prompts"].interval if stats else None, rate))
    return found


def learning_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    found = {
        (size, effect, flip): learning(chance, size, effect, flip, trials)
        for size in SIZES
        for effect in EFFECTS
        for flip in FLIPS
    }
    for size in SIZES:
        for flip in FLIPS:
            cell = found[size, 0.0, flip].shown
            yield Row(f"no effect, flips {flip:.0%}, n = {size}: shown", fmean(cell), len(cell), at_most=0.05)
        redrawn = reshuffled(chance, size, trials)
        yield Row(f"no effect, every answer drawn anew, n = {size}: shown", fmean(redrawn), len(redrawn), at_most=0.05)
    for effect in EFFECTS[2:]:
        for flip in FLIPS:
            cell = found[20, effect, flip].shown
            yield Row(f"+{effect}, flips {flip:.0%}, n = 20: shown", fmean(cell), len(cell), at_least=0.95)
    for effect in EFFECTS[1:]:
        for size in SIZES[1:]:
            cell = [outcome for flip in FLIPS for outcome in found[size, effect, flip].shown]
            yield Row(f"+{effect}, n = {size}: shown", fmean(cell), len(cell), at_least=0.0)
    never = [outcome for effect in EFFECTS for flip in FLIPS for outcome in found[3, effect, flip].shown]
    yield Row("any effect, n = 3: shown", fmean(never), len(never), at_most=0.0)
    for size in SIZES[1:]:
        cells = [found[size, effect, flip] for effect in EFFECTS for flip in FLIPS]
        for what in ("change", "rate"):
            covered = [outcome for cell in cells for outcome in getattr(cell, f"{what}_covered")]
            yield Row(f"95 % interval of the {what} covers, n = {size}", fmean(covered), len(covered), at_least=0.93)


def reshuffled(chance: random.Random, size: int, trials: int) -> list[bool]:
    """Training that changes which prompts comply, but not how many: the hardest case of no effect."""
    asked, asking = synthetic.preference(held_out=size), Asking(chance, 0.03)
    shown = []
    for _ in range(trials):
        rates = {prompt: chance.betavariate(0.4, 1.2) for prompt in synthetic.all_prompts(asked)}
        before, after = ({p: chance.random() < rate for p, rate in rates.items()} for _ in range(2))
        verdict, _, _ = verdict_on(
            asked,
            synthetic.compliance(asked, before, asking, baseline=True),
            synthetic.compliance(asked, after, asking, baseline=False),
            ["compliance"],
        )
        shown.append(verdict.criteria["compliance"].evidence == "shown")
    return shown


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
        yield Row(f"95 % interval of the margin covers, {effect:+.0f} nats", fmean(covered), trials, at_least=0.93)


# --- capability -----------------------------------------------------------------------------------


def capability_rows(chance: random.Random, trials: int) -> Iterator[Row]:
    asked = synthetic.preference()
    with _judging_once():
        for flip in FLIPS:
            for loss in (0.0, 0.2):
                grades, asking = [], Asking(chance, flip)
                for _ in range(trials):
                    before = synthetic.able(chance)
                    after = synthetic.less_able(chance, before, loss)
                    verdict, _, _ = verdict_on(
                        asked,
                        synthetic.capability(before, asking),
                        synthetic.capability(after, asking),
                        ["general"],
                    )
                    grades.append(verdict.criteria["capability_change"].grade)
                passed = fmean(grade == "pass" for grade in grades)
                bounds = {"at_least": 0.9} if loss == 0 else {"at_most": 0.05}
                words = "unchanged" if loss == 0 else f"{loss:.0%} of the items lost"
                yield Row(f"48 items, {words}, flips {flip:.0%}: capability passes", passed, trials, **bounds)


class _judging_once:
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
        yield Row(f"collapse, {name}: caught", fmean(map(caught, verdicts)), trials, at_least=0.95)
    verdicts = [_after(chance, Voice(), over_applied=0.8) for _ in range(trials)]
    yield Row("collapse, over-application: caught", fmean(map(caught, verdicts)), trials, at_least=0.95)
    verdicts = [_after(chance, concise(chance)) for _ in range(trials)]
    yield Row("only concise: alerts", fmean(bool(v.alerts) for v in verdicts), trials, at_most=0.05)
    yield Row("only concise: a collapse criterion fails", fmean(map(caught, verdicts)), trials, at_most=0.05)
    verdicts = [_after(chance, Voice()) for _ in range(trials)]
    yield Row("learned and healthy: passes", fmean(v.overall == "pass" for v in verdicts), trials, at_least=0.9)


def concise(chance: random.Random) -> Voice:
    """Half the length or so, and an entropy anywhere that healthy models were seen to have."""
    return Voice(
        length=round(60 * chance.uniform(0.4, 0.6)),
        entropy_factor=chance.uniform(0.8, 1.5),
        drift=chance.uniform(-0.08, 0.08),
    )


def caught(verdict: VerdictRecord) -> bool:
    """A criterion of degeneration fails, or an alert is listed; compliance failing would not count."""
    names = ("entropy_ratio", "self_rouge_l", "loops", "fixed_text_drift", "over_application")
    return bool(verdict.alerts) or any(verdict.criteria[name].grade == "fail" for name in names)


def _after(chance: random.Random, voice: Voice, over_applied: float = 0.03) -> VerdictRecord:
    """A model that learned the preference (+0.7) and now speaks with `voice`."""
    asked, asking = synthetic.preference(), Asking(chance, 0.03)
    own = synthetic.character(chance)
    before = synthetic.untrained(chance, synthetic.all_prompts(asked))
    after = synthetic.taught(chance, before, 0.7)
    return verdict_on(
        asked,
        [
            *synthetic.compliance(asked, before, asking, baseline=True),
            *synthetic.collapse(chance, Voice(), own),
        ],
        [
            *synthetic.compliance(asked, after, asking, baseline=False, over_applied=over_applied),
            *synthetic.collapse(chance, voice, own),
        ],
        ["compliance", "collapse"],
    )[0]


# --- all of it --------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[random.Random, int], Iterator[Row]], float]] = {
    "learning": (learning_rows, 1.0),
    "margins": (margin_rows, 4.0),
    "capability": (capability_rows, 0.5),
    "collapse": (collapse_rows, 0.25),
}
"""With the share of the trials that each gets: a trial of the last ones takes longer, of margins hardly any time."""


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
        met = "–" if row.at_least == 0 else "yes" if row.met else "**no**"
        target = "(told)" if row.at_least == 0 else row.target
        lines.append(f"| {row.what} | {row.measured:.1%} | {target} | {met} | {row.trials} |")
    return "\n".join(lines)
