"""What an evaluation with this configuration will cost, from the measured times, and what its size can show."""

from claas_assets.evaluation.check.bench import Bench
from claas_assets.evaluation.check.speaking import AT_ONCE
from claas_assets.evaluation.metrics.statistics import LEAST_CHANGE, bonett_price
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.training.cost import Cost, cost_of

_LEVEL = 0.9  # one-sided 5 %


def say_forecast(bench: Bench, sequences: list[PreferenceSequence]) -> None:
    """Two lines: what it will cost, and what n can show."""
    config, report = bench.config, bench.report
    preferences = {name: p for sequence in sequences for name, p in sequence.preferences.items()}
    costs = [cost_of(config, sequence) for sequence in sequences]
    total = sum(costs, Cost(0, 0, 0, 0))
    steps = config.num_steps if all(s.is_alone for s in sequences) else total.feedback
    minutes = sum(_seconds(bench, cost) for cost in costs) / 60
    mean = sum(bench.lengths) / len(bench.lengths) if bench.lengths else None
    tokens = f"at most {total.most_tokens:,} generated tokens"
    if mean is not None:
        tokens += f", some {min(total.most_tokens, round(total.chats * mean)):,} at the length of these answers"
    kinds = f"{total.chats:,} chats, {total.scores:,} scores, {total.feedback:,} feedbacks"
    report.ok(
        "what it will cost",
        f"{len(preferences)} preferences, {steps} steps: {total.requests:,} requests ({kinds}), {tokens}, "
        f"some {minutes:.0f} minutes one after the other",
    )
    for preference in preferences.values():
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
        if interval is not None and interval.lower > LEAST_CHANGE:
            return risen
    return None


def least_excluded(n: int) -> float | None:
    """The harm that `n` unchanged units do not exclude, as a share."""
    interval = bonett_price([0.0] * n, _LEVEL) if n else None
    return None if interval is None else interval.upper
