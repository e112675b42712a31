"""What the engines of the four modes do differently."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """`base_models`: those that init takes (None: any); `refuses_with`: how it refuses the others.

    `own_seed`: samples differ from call to call whatever `seed` says; `fixed_seed`: they never do.
    """

    id_suffix: str = ""
    base_models: tuple[str, ...] | None = None
    refuses_with: int = 403
    chat_logprobs: bool = True
    by_name: bool = True  # `model` picks the adapter
    one_sampler: bool = False
    own_seed: bool = False
    fixed_seed: bool = False
    has_status: bool = False


_VLLM = Profile(id_suffix="-init", base_models=("Qwen/Qwen3-8B",), own_seed=True)

PROFILES = {
    "embedded": Profile(has_status=True),
    "local": _VLLM,
    "modal": _VLLM,
    "tinker": Profile(
        base_models=("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-8B"),
        refuses_with=500,
        chat_logprobs=False,
        by_name=False,
        one_sampler=True,
        fixed_seed=True,
    ),
}
