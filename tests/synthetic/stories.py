"""Made-up records, the same on every machine: what the pictures look like, and what the tests draw.

Nothing here was measured. `identity` learns, `concise` degenerates, `no_emoji` is not finished.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.statistics import bonett_price, evidence, student_t, wilson
from claas_assets.evaluation.storage.records import (
    CollapseScores,
    CollapseStats,
    ComplianceStats,
    Criterion,
    EvalSnapshot,
    GeneralScores,
    GeneralStats,
    Grade,
    Interval,
    LogprobMargin,
    LogprobStats,
    NoiseFloor,
    Overall,
    ScoresRecord,
    SnapshotStats,
    StepRecord,
    UnitStats,
    Unmeasured,
    VerdictRecord,
)
from tests.synthetic.records import step_record


@dataclass(frozen=True)
class Story:
    """How a preference's numbers go from the baseline (0) to the last step (1)."""

    name: str
    start: float  # compliance, baseline
    end: float
    nats: float  # change of margin at the end
    damage: float  # 0 = stays able and varied, 1 = in ruins
    num_steps: int = 8
    recorded: int = 8
    overall: Overall | None = "pass"
    failed: Mapping[int, str] = field(default_factory=dict)  # x → why the margin could not be measured


@dataclass(frozen=True)
class Demo:
    """What `draw` takes."""

    scores: dict[str, ScoresRecord]
    verdicts: dict[str, VerdictRecord]


STORIES = (
    Story(name="identity", start=0.0, end=1.0, nats=11.0, damage=0.05),
    Story(name="concise", start=0.35, end=0.6, nats=3.0, damage=0.9, overall="fail",
          failed={3: "the deployment answered 500 to 4 of 20 score requests (pairs 2 and 7 cost $0)"}),
    Story(name="no_emoji", start=0.55, end=0.9, nats=4.0, damage=0.1, recorded=5, overall=None),
)  # fmt: skip


def demo(stories: Sequence[Story] = STORIES, seed: int = 7) -> Demo:
    """Records of these stories."""
    scores, verdicts = {}, {}
    for story in stories:
        chance = random.Random(f"{seed}/{story.name}")
        baseline = snapshot(story, 0, None, chance)
        lines = [told_step(story, step, baseline, chance) for step in range(story.recorded)]
        scores[story.name] = ScoresRecord(
            run_id="demo", preference=story.name, lora_id=f"demo/{story.name}", num_steps=story.num_steps,
            metrics=["logprob", "compliance", "general", "collapse"], baseline=baseline, steps=lines,
        )  # fmt: skip
        if story.overall is not None and lines:
            verdicts[story.name] = verdict(story, baseline, lines[-1].eval)
    return Demo(scores, verdicts)


def snapshot(story: Story, x: int, baseline: EvalSnapshot | None, chance: random.Random) -> EvalSnapshot:
    """The state after `x` steps; full at both ends."""
    share = 1 / (1 + math.exp(-9 * (x / story.num_steps - 0.45))) if x else 0.0
    full = x in (0, story.num_steps)
    compliance = ComplianceStats(sets=_compliance_sets(story, share, full, x == 0, chance), noise=_noise(x))
    failed = x in story.failed
    margin, logprob = (None, None) if failed else _margin(story, share, baseline, chance)
    unmeasured = {"logprob_margin": Unmeasured(kind="failed", reason=story.failed[x])} if failed else {}
    due = full or x % 3 == 0
    scores, collapse = _collapse(story.damage * share, full, chance) if due else (None, None)
    general, abilities = _general(story.damage * share, full, chance)
    return EvalSnapshot(
        logprob_margin=margin,
        preference_compliance=compliance.sets["probe_prompts"].mean,
        general=general,
        collapse=scores,
        stats=SnapshotStats(logprob=logprob, compliance=compliance, general=abilities, collapse=collapse),
        unmeasured=unmeasured,
        snapshot="full" if full else "light",
    )


def _units(scores: Sequence[float], *, rate: bool = True) -> UnitStats:
    return UnitStats(
        n=len(scores),
        mean=fmean(scores),
        interval=wilson(sum(scores), len(scores)) if rate else student_t(scores),
        scores={str(i): score for i, score in enumerate(scores)},
    )


def _rate(chance: random.Random, p: float, n: int) -> UnitStats:
    """n units of which about a share p pass."""
    passed = min(n, max(0, round(n * (p + chance.uniform(-0.06, 0.06)))))
    return _units([float(i < passed) for i in range(n)])


def _compliance_sets(
    story: Story, share: float, full: bool, at_baseline: bool, chance: random.Random
) -> dict[str, UnitStats]:
    level = story.start + (story.end - story.start) * share
    sets = {"probe_prompts": _rate(chance, level, 10)}
    if full:
        sets["heldout_prompts"] = _rate(chance, level * 0.95, 20)
    if at_baseline:
        sets["ceiling"] = _rate(chance, 0.95, 20)
    return sets


def _noise(x: int) -> NoiseFloor | None:
    if x:
        return None
    return NoiseFloor(n=20, flip_rate=0.05, sigma2=0.01, mean_difference=0.0, deterministic=False)


def _margin(
    story: Story, share: float, baseline: EvalSnapshot | None, chance: random.Random
) -> tuple[LogprobMargin, LogprobStats]:
    """Ten pairs; `delta` is paired with the baseline's."""
    before = baseline.stats.logprob if baseline else None
    start = before.margins.scores if before else {str(i): chance.gauss(-6, 5) for i in range(10)}
    spread = 0.35 * abs(story.nats) * share
    now = {pair: score + story.nats * share + chance.gauss(0, spread) for pair, score in start.items()}
    change = [now[pair] - start[pair] for pair in start]
    margins = _units(list(now.values()), rate=False)
    delta = _units(change, rate=False) if before else None
    return (
        LogprobMargin(
            positive_logprob=-40 + fmean(now.values()),
            negative_logprob=-40.0,
            margin=margins.mean,
            margin_delta_from_baseline=delta.mean if delta else None,
        ),
        LogprobStats(margins=margins, per_token=_units([m / 30 for m in now.values()], rate=False), delta=delta),
    )


def _collapse(harm: float, full: bool, chance: random.Random) -> tuple[CollapseScores, CollapseStats]:
    ratio = max(0.1, 1 - 0.62 * harm + chance.uniform(-0.04, 0.04)) if harm else 1.0
    rouge = min(1.0, 0.24 + 0.7 * harm + chance.uniform(-0.03, 0.03))
    scores = CollapseScores(
        mean_entropy=1.4 * ratio, mean_logprob=-0.8, entropy_ratio_to_baseline=ratio, self_rouge_l=rouge,
        mean_logprob_drift=0.3 * harm, alert=ratio < 0.6 or rouge > 0.85,
    )  # fmt: skip
    if not full:
        return scores, CollapseStats()
    return scores, CollapseStats(
        entropy=_units([1.4 * ratio] * 9, rate=False),
        entropy_ratio=ratio + (0.05 if harm else 0.0),
        self_rouge_l=_units([max(0.0, rouge - 0.05)] * 9),
        rep4=_units([0.04 + 0.4 * harm] * 8),
        rep4_rise=0.4 * harm,
        fixed_text=_units([-2.0 - 0.7 * harm] * 12, rate=False),
        fixed_text_drift=-0.7 * harm,
    )


def _general(harm: float, full: bool, chance: random.Random) -> tuple[GeneralScores, GeneralStats]:
    passed = [chance.random() > 0.25 + 0.6 * harm for _ in range(4)]
    rate = fmean(float(p) for p in passed[1:])
    scores = GeneralScores(
        coding_correct=passed[0], coding_has_docstring=passed[0], ifeval_pass_rate=rate,
        general_score=0.5 * passed[0] + 0.5 * rate,
    )  # fmt: skip
    items = _rate(chance, 0.62 * (1 - 0.7 * harm), 48) if full else None
    return scores, GeneralStats(public_probes=_units([float(p) for p in passed]), items=items)


def told_step(story: Story, step: int, baseline: EvalSnapshot, chance: random.Random) -> StepRecord:
    """The line of one feedback step, with the numbers of a local engine; one call of `concise` got no answer."""
    silent = story.name == "concise" and step == 4
    loss = 0.4 * math.exp(-step / 4) + 0.03 + chance.uniform(0, 0.03)
    return step_record(
        step,
        snapshot(story, step + 1, baseline, chance),
        preference=story.name,
        sdpo_metrics=None if silent else {
            "distill_loss": loss, "kl_reg": 0.01 * step + chance.uniform(0, 0.01), "total_loss": loss,
            "mean_is_ratio": 1 + 0.08 * step * story.damage + chance.uniform(-0.02, 0.02),
            "clip_fraction": min(1.0, 0.03 * step * story.damage), "grad_norm": 1.5 * loss + chance.uniform(0, 0.2),
            "tokens_processed": 256 - chance.randrange(40), "batch_size": 4, "steps_per_batch_applied": 4,
        },
        interrupted=silent,
    )  # fmt: skip


def verdict(story: Story, baseline: EvalSnapshot, last: EvalSnapshot) -> VerdictRecord:
    """Criteria with the default thresholds. A stand-in: real verdicts are judged, this one is told."""
    grade: Grade = "pass" if story.overall == "pass" else "fail"
    bounds = {name: dict(bound) for name, bound in Thresholds().model_dump().items() if isinstance(bound, dict)}
    bounds["capability_change"] = {"harm_margin": Thresholds().harm_margin}
    criteria = {name: Criterion(value=None, threshold=bound, grade=grade) for name, bound in bounds.items()}
    for name, differences, interval in _changes(baseline, last):
        criteria[name] = Criterion(
            value=None, change=fmean(differences), interval=interval(differences, 0.95), n=len(differences),
            threshold=bounds.get(name, {}), grade=grade,
            evidence=evidence(fmean(differences), interval(differences, 0.9)),
        )  # fmt: skip
    return VerdictRecord(
        preference=story.name, lora_id=f"demo/{story.name}", run_id="demo", logprob_margin_delta=story.nats,
        final_compliance=story.end, capability_ratio=1 - story.damage, overall=story.overall or "unfinished",
        sentence="made up", criteria=criteria, steps_recorded=story.recorded, num_steps=story.num_steps,
    )  # fmt: skip


IntervalOf = Callable[[Sequence[float], float], Interval | None]


def _changes(baseline: EvalSnapshot, last: EvalSnapshot) -> Iterator[tuple[str, list[float], IntervalOf]]:
    """Criterion, difference per unit, and the interval that suits it, of what both snapshots hold."""
    then, now = baseline.stats, last.stats
    if now.logprob and now.logprob.delta:
        yield "logprob_margin", list(now.logprob.delta.scores.values()), student_t
    if then.compliance and now.compliance and "heldout_prompts" in now.compliance.sets:
        pair = then.compliance.sets["heldout_prompts"], now.compliance.sets["heldout_prompts"]
        yield "obeyed", _differences(*pair), bonett_price
    if then.general and now.general and then.general.items and now.general.items:
        yield "capability_change", _differences(then.general.items, now.general.items), bonett_price


def _differences(then: UnitStats, now: UnitStats) -> list[float]:
    return [now.scores[unit] - score for unit, score in then.scores.items() if unit in now.scores]


def without_engine_numbers(made: Demo) -> Demo:
    """The same, from an engine that reports nothing."""
    scores = {
        name: scored.model_copy(
            update={"steps": [step.model_copy(update={"sdpo_metrics": None, "engine": None}) for step in scored.steps]}
        )
        for name, scored in made.scores.items()
    }
    return replace(made, scores=scores)
