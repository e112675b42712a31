"""Feedback to two generations of deployments: what to send, and what the answer says.

The newer one makes `steps_per_batch` gradient updates in a call and says how many; the older one
ignores `steps_per_batch` and `feedback_repetitions`, makes one update a call, and says nothing.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from claas_assets.evaluation.config import TrainingConfig
from claas_assets.evaluation.errors import MalformedAnswer
from claas_assets.wire import FeedbackItem, FeedbackResponse, TrainingOptions

_APPLIED = "steps_per_batch_applied"

ENGINE_NUMBERS = (
    # local, modal, embedded
    "distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction", "total_loss", "grad_norm", "tokens_processed",
    # Tinker
    "adv_mean", "kl_mean", "effective_kl_coef", "kl_gain", "adv_abs_mean", "adv_abs_mean_raw", "completion_len",
    "step", "lr",
    # both
    "batch_size", _APPLIED,
)  # fmt: skip
"""The numbers of `distill_result.metadata` that the contract names."""

LOCAL_METRICS = ("distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction")
TINKER_METRICS = ("adv_mean", "kl_mean", "effective_kl_coef", "kl_gain", "adv_abs_mean", "adv_abs_mean_raw")
TINKER_OPTIONAL = ("completion_len", "batch_size")
"""What a real CLaaS's reader of `sdpo_metrics` takes of its two kinds of engines.

It refuses any other key, and a missing one, by failing on the page of all runs. All else that an engine says is in
`feedback_calls`.
"""


def feedback_items(
    pairs: Sequence[tuple[str, str]],
    *,
    lora_id: str,
    feedback: str,
    training: TrainingConfig,
    takes_repetitions: bool | None,
) -> list[FeedbackItem]:
    """The items of one call, from (prompt, visible answer) pairs.

    `takes_repetitions`: whether this deployment is known to read `feedback_repetitions`. If not (False),
    or not yet (None), repeated feedback is sent as text, which means the same to both generations.
    Raises `ValueError` where an answer is empty: every deployment refuses feedback on it.
    """
    for index, (prompt, response) in enumerate(pairs):
        if not response:
            raise ValueError(f"rollout {index} ({prompt!r}) has an empty answer: no feedback can be given on it")
    options = TrainingOptions.model_validate(training.model_dump())
    if not takes_repetitions and training.feedback_repetitions > 1:
        feedback = "\n".join([feedback] * training.feedback_repetitions)
        options = options.model_copy(update={"feedback_repetitions": 1})
    return [
        FeedbackItem(lora_id=lora_id, prompt=prompt, response=response, feedback=feedback, training=options)
        for prompt, response in pairs
    ]


def updates_applied(response: FeedbackResponse) -> int:
    """Gradient updates that the call made: `steps_per_batch_applied`, and 1 where a deployment does not say.

    Raises `MalformedAnswer` where the field is no count.
    """
    metadata = response.distill_result.metadata if response.distill_result else {}
    applied = metadata.get(_APPLIED, 1)
    if not _is_finite_number(applied) or applied != int(applied) or applied < 0:
        raise MalformedAnswer(f"distill_result.metadata.{_APPLIED}: {applied!r} is not a number of updates")
    return int(applied)


def engine_numbers(metadata: Mapping[str, Any]) -> dict[str, float | int]:
    """The finite numbers of the contract among `metadata`; all else stays in the call's own record."""
    known = {key: metadata[key] for key in ENGINE_NUMBERS if key in metadata}
    return {key: value for key, value in known.items() if _is_finite_number(value)}


def strict_metrics(metadata: Mapping[str, Any]) -> dict[str, float | int | None] | None:
    """`sdpo_metrics`: the numbers of one engine's kind, null where it gave none; None for an engine of neither."""
    finite = {key: value for key, value in metadata.items() if _is_finite_number(value)}
    for needed, optional in ((TINKER_METRICS, TINKER_OPTIONAL), (LOCAL_METRICS, ())):
        if any(key in finite for key in needed):
            return {key: finite.get(key) for key in needed} | {key: finite[key] for key in optional if key in finite}
    return None


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
