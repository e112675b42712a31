"""Intervals, noise floor and evidence against independent references and their own promises."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.metrics.statistics import (
    bonett_price,
    evidence,
    measure_noise,
    noise_floor,
    student_t,
    token_entropy,
    wilson,
)

scores = st.floats(min_value=-1, max_value=1)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (3, 10), (17, 20), (10, 10)])
def test_wilson_is_the_one_of_scipy(successes, n):
    from scipy.stats import binomtest

    reference = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    interval = wilson(successes, n)

    assert interval is not None
    assert (interval.lower, interval.upper) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_wilson_ends_where_rates_end():
    none, all_of_them = wilson(0, 20), wilson(20, 20)

    assert none is not None
    assert all_of_them is not None
    assert (none.lower, all_of_them.upper) == (0.0, 1.0)


def test_student_t_is_the_one_of_scipy():
    from scipy.stats import sem, t

    values = [1.0, 4.0, 2.5, 8.0, -1.0, 3.0]
    low, high = t.interval(0.95, len(values) - 1, loc=sum(values) / 6, scale=sem(values))

    interval = student_t(values)

    assert interval is not None
    assert (interval.lower, interval.upper) == pytest.approx((low, high))


def test_bonett_price_by_hand():
    # 15 of 20 units rose: padded mean 15/22, population variance 17/22 − (15/22)².
    interval = bonett_price([1.0] * 15 + [0.0] * 5)

    assert interval is not None
    half = 1.959964 * math.sqrt((17 / 22 - (15 / 22) ** 2) / 22)
    assert (interval.lower, interval.upper) == pytest.approx((15 / 22 - half, 15 / 22 + half), abs=1e-6)


def test_all_units_changing_alike_still_leave_a_width():
    interval = bonett_price([1.0] * 10)

    assert interval is not None
    assert interval.lower < 0.8


@given(st.lists(scores, min_size=5, max_size=40))
def test_bonett_price_mirrors_and_stays_inside(differences):
    interval, mirrored = bonett_price(differences), bonett_price([-d for d in differences])

    assert interval is not None
    assert mirrored is not None
    assert -1 <= interval.lower <= interval.upper <= 1
    assert mirrored.lower == pytest.approx(-interval.upper)


def evidence_of(differences, **bounds):
    """By the one-sided bounds at 95 %."""
    mean = fmean(differences) if differences else 0.0
    return evidence(mean, bonett_price(differences, 0.9), **bounds)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_fewer_than_five_units_have_no_interval_and_no_evidence(n):
    assert wilson(n, n) is None
    assert bonett_price([1.0] * n) is None
    assert student_t([9.0] * n) is None
    assert evidence_of([1.0] * n) == "within_noise"


@pytest.mark.parametrize("call", [lambda: wilson(6, 5), lambda: wilson(-1, 5), lambda: bonett_price([2.0] * 5)])
def test_impossible_scores_are_refused(call):
    with pytest.raises(ValueError, match=r"between|lie in"):
        call()


def test_evidence_needs_the_bound_and_the_floor():
    rise = [1.0] * 10 + [0.0] * 10

    assert evidence_of(rise) == "shown"
    assert evidence_of(rise, floor=0.5) == "within_noise"
    assert evidence_of([-d for d in rise]) == "worse"
    assert evidence_of([-d for d in rise], floor=0.5) == "within_noise"
    assert evidence_of([1.0, 1.0] + [0.0] * 18) == "within_noise"


def test_a_change_must_be_beyond_the_least_that_counts_either_way():
    five, six = ([1.0] * n + [0.0] * (20 - n) for n in (5, 6))
    assert (evidence_of(five), evidence_of(five, least=0.05)) == ("shown", "within_noise")
    assert evidence_of(six, least=0.05) == "shown"
    assert evidence_of([-d for d in five], least=0.05) == "within_noise"
    assert evidence_of([-d for d in six], least=0.05) == "worse"


def test_evidence_is_one_sided_at_95_percent():
    """A rise whose two-sided 95 % interval just touches 0 is shown by the one-sided bound."""
    rise = [1.0] * 4 + [0.0] * 6
    two_sided = bonett_price(rise)

    assert two_sided is not None
    assert two_sided.lower < 0
    assert evidence_of(rise) == "shown"


def test_noise_of_two_passes():
    noise = measure_noise([1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0], same_texts=False)

    assert noise.flip_rate == 0.5
    assert noise.sigma2 == 0.25
    assert noise.mean_difference == 0
    assert noise_floor(noise, 20) == pytest.approx(1.96 * math.sqrt(0.5 / 20), abs=1e-4)


def test_a_shift_between_passes_is_the_floor_when_it_is_larger():
    noise = measure_noise([0.0] * 50, [0.5] * 50, same_texts=False)

    assert noise_floor(noise, 50) == 0.5


def test_identical_texts_have_no_floor_and_unmeasured_noise_has_none():
    noise = measure_noise([1.0, 0.0], [1.0, 0.0], same_texts=True)

    assert noise_floor(noise, 20) == 0
    assert noise_floor(None, 20) is None


@given(st.integers(min_value=1, max_value=20), st.floats(min_value=-80, max_value=0))
def test_equal_logprobs_have_the_entropy_of_their_number(count, logprob):
    assert token_entropy([logprob] * count) == pytest.approx(math.log(count), abs=1e-9)


def test_entropy_is_renormalized_and_survives_minus_infinity():
    assert token_entropy([math.log(0.4), math.log(0.1), -math.inf]) == pytest.approx(
        -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    )
    with pytest.raises(ValueError, match="no entropy"):
        token_entropy([])


def test_intervals_cover_the_truth():
    """A rate of 0.15 before and 0.65 after, twenty units: 95 % intervals hold the truth in nine of ten trials."""
    chance = random.Random(4)
    change_covered = rate_covered = 0
    for _ in range(400):
        before = [chance.random() < 0.15 for _ in range(20)]
        after = [chance.random() < 0.65 for _ in range(20)]
        change = bonett_price([float(b) - float(a) for a, b in zip(before, after, strict=True)])
        rate = wilson(sum(after), 20)
        change_covered += change.lower <= 0.5 <= change.upper
        rate_covered += rate.lower <= 0.65 <= rate.upper
    assert change_covered >= 360
    assert rate_covered >= 360
