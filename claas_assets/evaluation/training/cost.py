"""What an evaluation will ask, before it is asked: as the loop sends it, request by request."""

from __future__ import annotations

from dataclasses import dataclass

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics.made_pairs import MOST_PAIRS
from claas_assets.evaluation.metrics.probes import Probe
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.storage.records import BASELINE_STEP
from claas_assets.evaluation.training.asking import unique_requests
from claas_assets.evaluation.training.snapshot import AdapterState, probes_of


@dataclass(frozen=True)
class Cost:
    """Of one sequence or preference, from its adapter to its last step."""

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


def cost_of(config: EvalConfig, sequence: PreferenceSequence) -> Cost:
    """Requests, as the loop sends them: the baseline, the batches and feedbacks, a snapshot after each step.

    Of a sequence, a snapshot asks about all its preferences. At most: pairs that are made at the baseline count as many
    as there can be, and so do the questions that a deployment which repeats its texts is not asked again.
    """
    total = _of_state(config, sequence, AdapterState(BASELINE_STEP, sequence.first, "full", None))
    if config.lora_id is not None:  # an audit: the base model, and the adapter
        return total + _of_state(config, sequence, AdapterState(0, sequence.first, "full", None))
    batch = Cost(config.batch_size, 0, 1, config.batch_size * config.rollout_max_tokens)
    for step, turn in enumerate(sequence.turns(config.num_steps)):
        full = turn.ends_phase or step in config.snapshot_steps
        state = AdapterState(step, turn.preference, "full" if full else "light", None)
        total = total + batch + _of_state(config, sequence, state)
    return total


def _of_state(config: EvalConfig, sequence: PreferenceSequence, state: AdapterState) -> Cost:
    own, beside = probes_of(config, sequence, state)
    asked = _of_probes(unique_requests([*own, *beside]))
    if not {"logprob", "compliance"} <= set(config.metrics):
        return asked
    paired = [p for p in sequence.preferences.values() if state.size == "full" or p.name == state.preference.name]
    made = sum(preference.logprob_pairs is None for preference in paired)
    return asked + Cost(0, 2 * MOST_PAIRS * made, 0, 0)


def _of_probes(probes: list[Probe]) -> Cost:
    chats = [probe for probe in probes if probe.kind == "generate"]
    return Cost(len(chats), len(probes) - len(chats), 0, sum(probe.max_tokens or 0 for probe in chats))
