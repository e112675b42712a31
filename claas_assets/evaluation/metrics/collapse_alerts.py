"""When a collapse number is an alert. These bounds are fixed; the verdict's are configuration."""

from collections.abc import Sequence
from typing import NamedTuple

from claas_assets.evaluation.storage.records import EvalSnapshot, Record, ScoredStep


class Alert(NamedTuple):
    """Fires when `field` is beyond `bound`: below it, or above it. `words` has a place for the value."""

    name: str
    field: str
    below: bool
    bound: float
    words: str

    def fired(self, record: Record) -> str | None:
        value = getattr(record, self.field)
        if value is None or not (value < self.bound if self.below else value > self.bound):
            return None
        return f"{self.name}: {self.words.format(value)} ({'below' if self.below else 'above'} {self.bound:g})"


OCEAN_ALERTS = (
    Alert("entropy", "entropy_ratio_to_baseline", True, 0.6, "token entropy is {:.2f} of the baseline's"),
    Alert("self_rouge_l", "self_rouge_l", False, 0.85, "samples are alike, self-ROUGE-L {:.2f}"),
    Alert("logprob_drift", "mean_logprob_drift", False, 2.0, "mean token logprob moved by {:.2f} nats"),
)
"""Those of the public harness, on its ocean prompt: what `collapse.alert` is made of."""

FURTHER_ALERTS = (
    Alert("loops", "rep4_rise", False, 0.2, "repeated 4-grams rose by {:.2f}"),
    Alert("fixed_text", "drift", True, -0.3, "fixed texts are {:+.2f} nats a token"),
    Alert("fixed_text", "drift", False, 0.3, "fixed texts are {:+.2f} nats a token"),
    Alert("length", "length_ratio", True, 0.1, "answers are {:.2f} as long as the baseline's"),
    Alert("empty", "empty_share", False, 0.2, "{:.0%} of the answers are empty"),
    Alert("script", "script_change", False, 0.3, "the share of letters in another script rose by {:.2f}"),
)
"""Ours. Length: only nearly nothing is an alert, since a model may well have been told to be brief."""


def fired_of(alerts: Sequence[Alert], record: Record) -> list[str]:
    """Those that fired, in words."""
    return [words for alert in alerts if (words := alert.fired(record)) is not None]


def alerts_along(baseline: EvalSnapshot | None, steps: Sequence[ScoredStep]) -> list[str]:
    """Every alert of an evaluation with its step: "step 3: loops: …"."""
    states = [("baseline", baseline), *((f"step {step.step}", step.eval) for step in steps)]
    return [
        f"{name}: {alert}"
        for name, snapshot in states
        if snapshot is not None and snapshot.stats.collapse is not None
        for alert in snapshot.stats.collapse.alerts
    ]
