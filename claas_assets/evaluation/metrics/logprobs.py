"""Which numbers can be logarithms of probabilities: a server's stand-ins for "none" must not become a score."""

import math
from collections.abc import Sequence

LOWEST = -1000.0
"""Nats. No softmax over single-precision logits comes near it; public servers write −9999.0 for −∞."""

HIGHEST = 0.01
"""Nats: the rounding of a probability of one."""

SUM_TOLERANCE = 1e-3
"""Nats a token: the rounding of a sum."""


def why_unusable(logprobs: Sequence[float], given_sum: float | None = None) -> str | None:
    """What is wrong with the logprobs of a text, or None. `given_sum`: the server's own sum of them."""
    for position, logprob in enumerate(logprobs):
        if not LOWEST <= logprob <= HIGHEST:  # NaN fails too
            return f"logprobs.{position}: {logprob:g} is not the logarithm of a probability"
    total = math.fsum(logprobs)
    if given_sum is not None and not abs(given_sum - total) <= SUM_TOLERANCE * len(logprobs):
        return f"logprob_sum: {given_sum:g}, and the logprobs add up to {total:.6g}"
    return None


def why_no_entropies(entropies: Sequence[float]) -> str | None:
    """What is wrong with entropies (nats, one a token), or None."""
    wrong = next((value for value in entropies if not -1e-6 <= value < math.inf), None)
    return None if wrong is None else f"{wrong:g} nats is not an entropy"
