"""When a run ends before its last step: harm that stays, a preference that is learned, a budget that is spent."""

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from statistics import fmean
from typing import Any, NamedTuple

from claas_assets.evaluation.config import EvalConfig, Thresholds
from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.storage.records import CollapseStats, EvalSnapshot, StepRecord, StopRecord

LOOPS_ROSE = 0.2
"""Share of a snapshot's answers that became loops or nothing, less those that ceased to be; beyond it, one standard
error of the change of a model whose every answer is drawn anew. Ten trained prompts and four public probes are asked
at every step: where up to 30 % of an untrained model's answers are loops and 30 % of its answers change from step to
step, two snapshots in a row reach it in fewer than 1 % of runs of 20 steps. docs/reality.md has real runs."""

FEWEST_ANSWERS = 8
"""With fewer answers, a share says too little to end a run."""


def may_stop(config: EvalConfig) -> bool:
    """Whether anything may end the run before its last step."""
    limits = (config.stop_when_learned, config.max_minutes, config.max_tokens)
    return config.stop_on_harm or any(limit is not None for limit in limits)


def stop_after(
    config: EvalConfig, baseline: EvalSnapshot, earlier: Sequence[StepRecord], now: EvalSnapshot, step_s: float
) -> StopRecord | None:
    """Why the step whose state is `now` is the last, or None where the next one follows.

    `step_s`: seconds that the step took so far.
    """
    states = [*(record.eval for record in earlier), now]
    if (reason := _harm_that_stays(config, baseline, states)) is not None:
        return StopRecord(kind="harm", reason=reason)
    if (reason := _learned(config, states)) is not None:
        return StopRecord(kind="learned", reason=reason)
    if (reason := _spent(config, baseline, earlier, now, step_s)) is not None:
        return StopRecord(kind="budget", reason=reason)
    return None


def stays_stopped(config: EvalConfig, stop: StopRecord | None) -> bool:
    """Whether the run ended early and the configuration still has what ended it: without it, the folder goes on."""
    if stop is None:
        return False
    wanted = {
        "harm": config.stop_on_harm,
        "learned": config.stop_when_learned is not None,
        "budget": config.max_minutes is not None or config.max_tokens is not None,
    }
    return wanted[stop.kind]


def _harm_that_stays(config: EvalConfig, baseline: EvalSnapshot, states: Sequence[EvalSnapshot]) -> str | None:
    """Harm that is seen in the last state and in the one before it that measured the same."""
    if not config.stop_on_harm:
        return None
    rises = [rise for state in states[-2:] if (rise := _rise_of_loops(baseline, state)) and rise.beyond_churn]
    if len(rises) == 2:
        return f"{rises[-1].mean:.0%} more of the answers are loops or nothing, for the second snapshot in a row"
    measured = [state.stats.collapse for state in states if state.stats.collapse is not None]
    if len(measured) < 2 or states[-1].stats.collapse is None:
        return None
    before, now = (_extremes(stats, config.thresholds) for stats in measured[-2:])
    both = [words for name, words in now.items() if name in before]
    return f"{both[0]}, for the second snapshot in a row" if both else None


class _Rise(NamedTuple):
    """Of loops, over the answers that a state and the baseline both have."""

    mean: float
    """Share of the answers, in [-1, 1]."""

    beyond_churn: bool


def _rise_of_loops(baseline: EvalSnapshot, state: EvalSnapshot) -> _Rise | None:
    """None where the answers are too few."""
    now, then = state.stats.degenerate, baseline.stats.degenerate
    if now is None or then is None:
        return None
    pairs = [
        (getattr(now, name).scores[unit], score)
        for name in ("on_preference", "elsewhere")
        for unit, score in getattr(then, name).scores.items()
        if unit in getattr(now, name).scores
    ]
    if len(pairs) < FEWEST_ANSWERS:
        return None
    mean, rate = fmean(after - before for after, before in pairs), fmean(before for _, before in pairs)
    churn = math.sqrt(2 * rate * (1 - rate) / len(pairs))
    return _Rise(mean, mean >= LOOPS_ROSE + churn - 1e-9)


def _extremes(stats: CollapseStats, bounds: Thresholds) -> dict[str, str]:
    """The criteria of collapse beyond the bound at which they fail, in words."""
    alike = stats.self_rouge_l.mean if stats.self_rouge_l is not None else None
    drift = stats.fixed_text_words_drift
    found = {}
    if stats.entropy_ratio is not None and stats.entropy_ratio < bounds.entropy_ratio.fail_at:
        found["entropy_ratio"] = f"token entropy is {stats.entropy_ratio:.2f} of the baseline's"
    if alike is not None and alike > bounds.self_rouge_l.fail_at:
        found["self_rouge_l"] = f"samples are alike (self-ROUGE-L {alike:.2f})"
    if stats.rep4_rise is not None and stats.rep4_rise > bounds.loops.fail_at:
        found["loops"] = f"repeated 4-grams rose by {stats.rep4_rise:.2f}"
    if drift is not None and -drift > bounds.fixed_text_drift.fail_at:
        found["fixed_text_drift"] = f"fixed texts became less likely by {-drift:.2f} nats a token"
    return found


def _learned(config: EvalConfig, states: Sequence[EvalSnapshot]) -> str | None:
    """Trained prompts only: the held-out ones are for the verdict and never decide when it is taken."""
    wanted = config.stop_when_learned
    if wanted is None:
        return None
    trained = (obeyed_in(state, "probe_prompts") for state in reversed(states))
    enough = config.thresholds.obeyed.pass_at
    row = list(takewhile(lambda units: units is not None and units.mean is not None and units.mean >= enough, trained))
    if len(row) < wanted:
        return None
    return f"{enough:.0%} or more of the trained prompts obeyed at {wanted} steps in a row"


def _spent(
    config: EvalConfig, baseline: EvalSnapshot, earlier: Sequence[StepRecord], now: EvalSnapshot, step_s: float
) -> str | None:
    """The budget that another step would pass, where what the last full snapshot takes is held back for it."""
    if config.max_tokens is not None:
        steps = [_sum([_generated(record.eval), _rolled_out(record)]) for record in earlier]
        full, light = _generated(baseline), _generated(now)
        spent = _sum([full, *steps, light])
        if full is None or spent is None:
            return f"max_tokens={config.max_tokens}: the deployment counts no tokens, so nobody knows what is spent"
        if spent + full + max(map(_known, steps), default=_known(light)) > config.max_tokens:
            return f"max_tokens={config.max_tokens}: {spent} tokens were generated before the last snapshot"
    if config.max_minutes is not None:
        seconds = [*(record.timing_s for record in earlier), step_s]
        spent_s = (baseline.duration_s or 0.0) + sum(seconds)  # a baseline of another job took no time of this one
        if spent_s + _seconds_in_full(baseline, now) + max(seconds) > 60 * config.max_minutes:
            return f"max_minutes={config.max_minutes:g}: it took {spent_s / 60:.1f} minutes before the last snapshot"
    return None


def _seconds_in_full(baseline: EvalSnapshot, now: EvalSnapshot) -> float:
    """What a full snapshot takes: what the baseline took, or by its questions where another job measured that."""
    if baseline.duration_s is not None and baseline.shared_from is None:
        return baseline.duration_s
    return (now.duration_s or 0.0) * len(baseline.rollouts) / max(1, len(now.rollouts))


def _rolled_out(record: StepRecord) -> int | None:
    return _sum([_tokens(answer.metadata) for answer in record.rollout_batch])


def _generated(snapshot: EvalSnapshot) -> int | None:
    """Tokens of a state's answers; None where that is not known."""
    own = [answer.metadata for answer in snapshot.rollouts if answer.metadata.asked_as is None]
    return _sum([_tokens(answer.model_dump()) for answer in own if answer.kind == "generate" and answer.error is None])


def _tokens(metadata: Mapping[str, Any]) -> int | None:
    """Of one answer: as the deployment counted them, else at most its limit; None where there is neither."""
    counted: int | None = metadata.get("completion_tokens")
    limit: int | None = metadata.get("max_tokens")
    return limit if counted is None else counted


def _sum(counts: Sequence[int | None]) -> int | None:
    """None where one is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _known(count: int | None) -> int:
    assert count is not None  # the sum over all of them is known
    return count
