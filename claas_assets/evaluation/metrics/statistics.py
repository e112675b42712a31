"""Intervals for small samples, the noise floor, and what counts as evidence of a change.

Fewer than `MIN_UNITS` units give no interval: the answer is None, and a change is `within_noise`.
Only Student's t needs scipy (0.5 s to import, so it is imported where it is used).
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean, pvariance, variance

from claas_assets.evaluation.storage.records import Evidence, Interval, NoiseFloor

MIN_UNITS = 5
"""With fewer units no interval below is worth its name (three prompts can show nothing)."""

LEAST_CHANGE = 0.05
"""How far the bound of a change in obeying must be from 0. Training as such moves answers a little: under feedback
that says nothing (`control=placebo`), the small model came to obey concise on 0.10 to 0.20 more of its prompts, which
a bound above 0 calls shown (docs/reality.md). A test of a minimum effect, as of Murphy and Myors (1999)."""


def wilson(successes: float, n: int, level: float = 0.95) -> Interval | None:
    """Wilson's score interval of a rate: successes out of n, both counted in units.

    `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, p = successes/n (Wilson 1927). Scores in [0, 1]
    may be summed to a fractional `successes`: their variance is at most p(1−p), so the interval is then
    on the wide side. Raises `ValueError` where successes is not between 0 and n.
    """
    if not 0 <= successes <= n + 1e-9:
        raise ValueError(f"successes must be between 0 and n: got {successes} of {n}")
    if n < MIN_UNITS:
        return None
    z, p = _z(level), min(successes / n, 1.0)
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    lower = center - half if p > 0 else 0.0  # exactly, not but for rounding
    upper = center + half if p < 1 else 1.0
    return Interval(lower=max(0.0, lower), upper=min(1.0, upper), level=level, method="wilson")


def bonett_price(differences: Sequence[float], level: float = 0.95) -> Interval | None:
    """Interval of the mean paired difference of scores in [0, 1], one difference a unit.

    The differences with +1 and −1 appended: `mean ± z·√(population variance/(n+2))`, clipped to [−1, 1].
    For 0/1 scores this is the adjusted Wald interval of Bonett and Price (2012, J. Educ. Behav. Stat. 37,
    479–488); it has its width even where every unit changed the same way. The interval is about a mean
    drawn a little towards 0, so the plain mean need not be its middle.
    """
    if any(abs(difference) > 1 + 1e-9 for difference in differences):
        raise ValueError("differences of scores in [0, 1] lie in [-1, 1]")
    if len(differences) < MIN_UNITS:
        return None
    padded = [*differences, 1.0, -1.0]
    center = fmean(padded)
    half = _z(level) * math.sqrt(pvariance(padded, center) / len(padded))
    return Interval(lower=max(-1.0, center - half), upper=min(1.0, center + half), level=level, method="bonett-price")


def student_t(values: Sequence[float], level: float = 0.95, *, at_least: int = MIN_UNITS) -> Interval | None:
    """Interval of the mean of unbounded values (nats), one a unit: `mean ± t·s/√n`, n − 1 degrees.

    `at_least`: None below that many. Means over seeds may be as few as three (`sweeps.py`): each is a mean
    of many prompts, and t with two degrees of freedom is wide enough for what three of them can say.
    """
    n = len(values)
    if n < max(2, at_least):
        return None
    center = fmean(values)
    half = _t(level, n - 1) * math.sqrt(variance(values, center) / n)
    return Interval(lower=center - half, upper=center + half, level=level, method="student-t")


def evidence(change: float, interval: Interval | None, floor: float = 0.0, least: float = 0.0) -> Evidence:
    """Whether a mean difference (positive = better) is an improvement, a loss, or noise.

    `interval`: its bounds are the one-sided ones (two-sided 90 % for an error of 5 %); None where the units are too
    few. `shown`: the lower bound is above `least`, and the change is beyond the noise floor. `worse`: the same for a
    loss. Everything else: `within_noise`.

    The change must be beyond the floor, not the bound: flips widen the interval already, and counting them
    twice would show a rise of 0.5 (20 prompts, 8 % flips) in 74 % of runs rather than 97 %, with false
    alarms of 1 % or less either way (simulated; `benchmarks/truth.py` has what is in use).
    """
    if interval is not None and interval.lower > least and change > floor:
        return "shown"
    if interval is not None and interval.upper < -least and change < -floor:
        return "worse"
    return "within_noise"


def measure_noise(first: Sequence[float], second: Sequence[float], *, same_texts: bool) -> NoiseFloor:
    """What asking the same twice makes of the scores: one score a unit and pass, units in the same order.

    `flip_rate`: share of units whose score changed. `σ² = mean (x₁−x₂)²/2`: variance of one asking.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"two passes over the same units are needed: got {len(first)} and {len(second)}")
    changes = [b - a for a, b in zip(first, second, strict=True)]
    return NoiseFloor(
        n=len(changes),
        flip_rate=fmean(float(abs(change) > 1e-9) for change in changes),
        sigma2=fmean(change * change / 2 for change in changes),
        mean_difference=fmean(changes),
        deterministic=same_texts,
    )


def noise_floor(noise: NoiseFloor | None, n: int) -> float | None:
    """φ: how far the mean of n units moves when nothing was learned.

    `max(|mean difference of the two passes|, 1.96·√(2σ²/n))`; 0 where both passes gave the same texts,
    None where the noise was not measured.
    """
    if noise is None or n == 0:
        return None
    if noise.deterministic:
        return 0.0
    return max(abs(noise.mean_difference), _z(0.95) * math.sqrt(2 * noise.sigma2 / n))


def cohens_kappa(one: Sequence[bool], other: Sequence[bool]) -> float | None:
    """How far two raters agree beyond chance: `κ = (p_o − p_e)/(1 − p_e)`, in [−1, 1] (Cohen 1960).

    None where chance alone would make them agree in all (both always say the same word), or nothing was rated.
    """
    if len(one) != len(other):
        raise ValueError(f"two ratings of the same things are needed: got {len(one)} and {len(other)}")
    if not one:
        return None
    observed = fmean(float(a == b) for a, b in zip(one, other, strict=True))
    yes = fmean(map(float, one)), fmean(map(float, other))
    by_chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return None if by_chance >= 1 else (observed - by_chance) / (1 - by_chance)


def token_entropy(top_logprobs: Sequence[float]) -> float:
    """Entropy (nats) of one position from its top logprobs (nats, at most 20), renormalized over them.

    `H = −Σ p ln p`, p = e^logprob / Σ e^logprob. Raises `ValueError` where there is none.
    """
    finite = [logprob for logprob in top_logprobs if math.isfinite(logprob)]
    if not finite:
        raise ValueError("a position without top logprobs has no entropy")
    top = max(finite)
    weights = [math.exp(logprob - top) for logprob in finite]
    total = math.fsum(weights)
    # H = ln Z − Σ p·(l − max): no p is ever 0 inside a logarithm.
    mean_gap = math.fsum(w * (logprob - top) for w, logprob in zip(weights, finite, strict=True)) / total
    return max(0.0, math.log(total) - mean_gap)


@cache
def _z(level: float) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@cache
def _t(level: float, degrees: int) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # what `scipy.stats.t.ppf` calls, without the second that importing that takes

    return float(stdtrit(degrees, 0.5 + level / 2))
