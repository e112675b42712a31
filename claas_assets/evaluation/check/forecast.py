"""What an evaluation with this configuration will cost, from the measured times, and what its size can show."""

from __future__ import annotations

from dataclasses import dataclass

from claas_assets.evaluation.check.bench import Bench
from claas_assets.evaluation.check.speaking import AT_ONCE
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics.made_pairs import MOST_PAIRS
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan
from claas_assets.evaluation.metrics.scoring import gather_probes
from claas_assets.evaluation.metrics.statistics import bonett_price
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import SnapshotSize
from claas_assets.evaluation.training.asking import unique_requests

_LEVEL = 0.9  # one-sided 5 %


@dataclass(frozen=True)
class Cost:
    """Of one preference, from its adapter to its last step."""

    chats: int
    scores: int
    feedback: int
    most_tokens: int
    """Generated tokens where every answer reaches its limit."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.chats + other.chats,
            self.scores + other.scores,
            self.feedback + other.feedback,
            self.most_tokens + other.most_tokens,
        )

    @property
    def requests(self) -> int:
        return self.chats + self.scores + self.feedback


def cost_of(config: EvalConfig, preference: Preference) -> Cost:
    """Requests, as the loop sends them: the baseline, the batches and feedbacks, a snapshot after each step.

    Pairs that are made at the baseline count as many as there can be.
    """
    made = MOST_PAIRS if preference.logprob_pairs is None and {"logprob", "compliance"} <= set(config.metrics) else 0
    states = 2 if config.lora_id is not None else 1 + config.num_steps
    total = _of_probes(_probes(config, preference, -1, "full")) + Cost(0, 2 * made * states, 0, 0)
    if config.lora_id is not None:  # an audit: the base model, and the adapter
        return total + _of_probes(_probes(config, preference, 0, "full"))
    for step in range(config.num_steps):
        last = step == config.num_steps - 1
        size: SnapshotSize = "full" if last or step in config.snapshot_steps else "light"
        batch = Cost(config.batch_size, 0, 1, config.batch_size * config.rollout_max_tokens)
        total = total + batch + _of_probes(_probes(config, preference, step, size))
    return total


def _probes(config: EvalConfig, preference: Preference, step: int, size: SnapshotSize) -> list[Probe]:
    plan = ProbePlan(
        preference=preference,
        size=size,
        step=step,
        collapse_due=step in config.collapse_steps or size == "full",
        seed=config.seed,
        max_tokens=config.probe_max_tokens,
        temperature=config.probe_temperature,
        snapshot_size=config.snapshot_size,
    )
    return unique_requests(gather_probes(config.metrics, plan))


def _of_probes(probes: list[Probe]) -> Cost:
    chats = [probe for probe in probes if probe.kind == "generate"]
    return Cost(len(chats), len(probes) - len(chats), 0, sum(probe.max_tokens or 0 for probe in chats))


def say_forecast(bench: Bench, preferences: list[Preference]) -> None:
    """Two lines: what it will cost, and what n can show."""
    config, report = bench.config, bench.report
    costs = [cost_of(config, preference) for preference in preferences]
    total = sum(costs, Cost(0, 0, 0, 0))
    minutes = sum(_seconds(bench, cost) for cost in costs) / 60
    mean = sum(bench.lengths) / len(bench.lengths) if bench.lengths else None
    tokens = f"at most {total.most_tokens:,} generated tokens"
    if mean is not None:
        tokens += f", some {min(total.most_tokens, round(total.chats * mean)):,} at the length of these answers"
    kinds = f"{total.chats:,} chats, {total.scores:,} scores, {total.feedback:,} feedbacks"
    report.ok(
        "what it will cost",
        f"{len(preferences)} preferences, {config.num_steps} steps: {total.requests:,} requests ({kinds}), {tokens}, "
        f"some {minutes:.0f} minutes one after the other",
    )
    for preference in preferences:
        n = len(preference.heldout_prompts) or len(preference.probe_prompts)
        over = len(preference.over_application)
        least, excluded = least_rise(n), least_excluded(over)
        shown = "no rise" if least is None else f"a rise of {least} of {n} prompts ({least / n:.0%}) or more"
        harm = "no bound" if excluded is None else f"harm above {excluded:.0%} is excluded where nothing got worse"
        report.ok(f"what {preference.name} can show", f"{shown}; over-application ({over} prompts): {harm}")


def _seconds(bench: Bench, cost: Cost) -> float:
    batch, score, feedback = bench.took("batch"), bench.took("score"), bench.took("feedback")
    calls = 1 if bench.client.routes.engine.one_sampler else bench.config.training.steps_per_batch
    older = any("the older one" in finding.said for finding in bench.report.of("generation"))
    return (
        cost.chats * (batch or 0.0) / AT_ONCE
        + cost.scores * (score or 0.0) / AT_ONCE
        + cost.feedback * (feedback or 0.0) * (calls if older else 1)
    )


def least_rise(n: int) -> int | None:
    """The fewest of `n` prompts that must obey anew, none the other way, for a rise to be shown."""
    for risen in range(1, n + 1):
        interval = bonett_price([1.0] * risen + [0.0] * (n - risen), _LEVEL)
        if interval is not None and interval.lower > 0:
            return risen
    return None


def least_excluded(n: int) -> float | None:
    """The harm that `n` unchanged units do not exclude, as a share."""
    interval = bonett_price([0.0] * n, _LEVEL) if n else None
    return None if interval is None else interval.upper
