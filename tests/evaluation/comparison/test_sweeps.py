"""Recipes: what is a replicate of what, when there is a claim, and the dose-response picture."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claas_assets.evaluation.comparison.dose_response import dose_response_figure, draw_dose_response
from claas_assets.evaluation.comparison.sweeps import SweepComparison, group_seeds
from claas_assets.evaluation.errors import ConfigError
from tests.synthetic import transcripts as synthetic
from tests.synthetic.runs import made_run, passing


def job(name: str, passed: int, *, rate: float = 1e-4, seed: int = 1, **made):
    return made_run(name, passing(passed), config={"seed": seed, "training": {"learning_rate": rate}}, **made)


def recipes_of(*runs):
    (preference,) = group_seeds(runs).preferences
    return preference.recipes


@cache
def sweep():
    return tuple(
        job(f"s-{i}{seed}", passed, rate=rate, seed=seed)
        for i, (rate, counts) in enumerate([(1e-4, (6, 8, 7)), (1e-3, (12, 16, 14))])
        for seed, passed in enumerate(counts, 1)
    )


def test_runs_that_differ_only_in_the_seed_are_one_recipe_with_a_t_interval_over_its_seeds():
    result = group_seeds(sweep(), "s")
    low, high = result.preferences[0].recipes
    assert result.swept == ["training.learning_rate"]
    assert (low.settings, low.label) == ({"training.learning_rate": 1e-4}, "training.learning_rate=0.0001")
    assert low.runs == ["s-01", "s-02", "s-03"]
    found = high.criteria["obeyed"]
    assert [(seed.seed, seed.value) for seed in found.seeds] == [(1, 0.6), (2, 0.8), (3, 0.7)]
    assert found.mean == pytest.approx(0.7)
    half = 4.302652729911275 * 0.1 / 3**0.5  # t(0.975, 2 degrees)·s/√n
    assert (found.interval.lower, found.interval.upper) == pytest.approx((0.7 - half, 0.7 + half))
    assert found.claim.startswith("3 seeds: mean 0.7, 95 %")


def test_two_seeds_are_a_mean_and_no_claim():
    (recipe,) = recipes_of(job("a", 6, seed=1), job("b", 10, seed=2))
    found = recipe.criteria["obeyed"]
    assert (found.mean, found.interval, found.claim) == (pytest.approx(0.4), None, "2 seeds: no claim")


def test_one_seed_run_three_times_is_one_seed():
    (recipe,) = recipes_of(*(job(name, count, seed=1) for name, count in (("a", 6), ("b", 8), ("c", 10))))
    (seed,) = recipe.criteria["obeyed"].seeds
    assert (seed.value, seed.runs) == (pytest.approx(0.4), ["a", "b", "c"])
    assert recipe.criteria["obeyed"].claim == "1 seed: no claim"


def test_seeds_that_all_agree_have_no_interval():
    (recipe,) = recipes_of(*(job(name, 20, seed=seed) for seed, name in enumerate("abc")))
    found = recipe.criteria["obeyed"]
    assert (found.mean, found.interval) == (1.0, None)
    assert "no claim" in found.claim


def test_an_interval_of_a_rate_ends_at_its_range():
    (recipe,) = recipes_of(*(job(name, count, seed=count) for name, count in (("a", 16), ("b", 20), ("c", 19))))
    assert recipe.criteria["obeyed"].interval.upper == 1.0


def test_a_run_that_did_not_finish_is_left_out_and_named():
    (recipe,) = recipes_of(job("a", 6, seed=1), job("b", 10, seed=2, recorded=1))
    found = recipe.criteria["logprob_margin"]
    assert [seed.seed for seed in found.seeds] == [1]
    assert found.left_out == {"b": "unfinished: 1 of 2 steps"}
    assert recipe.outcomes["unfinished"] == 1


def test_where_the_results_are_and_what_else_was_evaluated_is_not_the_recipe():
    a = made_run("a", config={"seed": 1, "sweep_id": "x", "claas_url": "http://one"})
    b = made_run("b", config={"seed": 2, "plots": False, "preferences": ["identity", "concise"]})
    assert len(recipes_of(a, b)) == 1


def test_runs_that_must_not_be_compared_are_not_averaged():
    reworded = synthetic.preference().model_copy(update={"feedback_string": "Be Kuro."})
    first, second = recipes_of(job("a", 6, seed=1), job("b", 10, seed=2, asked=reworded))
    assert (first.runs, second.runs) == (["a"], ["b"])
    assert first.obstacles == []
    assert "feedback_string" in second.obstacles[0].what


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_the_runs_does_not_matter(order):
    assert group_seeds([sweep()[place] for place in order]) == group_seeds(sweep())


def test_the_record_survives_json():
    result = group_seeds(sweep(), "s")
    assert SweepComparison.model_validate_json(result.model_dump_json()) == result


# --- the picture ------------------------------------------------------------------------------------


def marks(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_a_dot_a_seed_a_diamond_a_recipe_and_a_bar_where_there_is_a_claim():
    (axes,) = dose_response_figure(group_seeds([*sweep(), job("x", 18, rate=3e-3, seed=1)])).axes
    (dots,) = marks(axes, "o")
    assert sorted(zip(dots.get_xdata(), dots.get_ydata(), strict=True))[3:] == [
        (1e-3, 0.6), (1e-3, 0.7), (1e-3, 0.8), (3e-3, 0.9),
    ]  # fmt: skip
    diamonds = {float(line.get_xdata()[0]): line for line in marks(axes, "D")}
    assert {x: round(float(line.get_ydata()[0]), 6) for x, line in diamonds.items()} == {
        1e-4: 0.35,
        1e-3: 0.7,
        3e-3: 0.9,
    }
    assert [x for x, line in diamonds.items() if line.get_markerfacecolor() == "white"] == [3e-3]
    assert len(axes.collections) == 2  # the two intervals
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.003"]


def test_words_stand_side_by_side_and_another_swept_key_is_a_line_of_its_own():
    runs = [
        made_run(f"{mode}-{a}-{s}", passing(4 + s), config={"metrics": metrics, "training": {"alpha": a}, "seed": s})
        for mode, metrics in (("two", ("logprob", "compliance")), ("one", ("compliance",)))
        for a in (0.0, 0.5)
        for s in (1, 2, 3)
    ]
    (axes,) = dose_response_figure(group_seeds(runs), key="metrics").axes
    assert [line.get_label() for line in axes.lines if not line.get_label().startswith("_")] == [
        "training.alpha=0.0", "training.alpha=0.5",
    ]  # fmt: skip
    assert list(axes.get_xticks()) == [0, 1]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_picture_is_readable_and_the_same_each_time(kind):
    grouped = group_seeds(sweep())
    picture = draw_dose_response(grouped, kind=kind)
    assert picture == draw_dose_response(grouped, kind=kind)
    if kind == "svg":
        assert ElementTree.fromstring(picture).tag.endswith("svg")
    else:
        from PIL import Image

        assert Image.open(BytesIO(picture)).format == "PNG"


@pytest.mark.parametrize(
    ("which", "arguments", "words"),
    [
        (slice(3), {}, "nothing but the seed"),
        (slice(None), {"key": "seed"}, "--x seed: not swept.*training.learning_rate"),
        (slice(None), {"criterion": "speed"}, "--criterion speed.*obeyed"),
    ],
)
def test_what_cannot_be_drawn_is_said(which, arguments, words):
    with pytest.raises(ConfigError, match=words):
        dose_response_figure(group_seeds(sweep()[which]), **arguments)


def test_a_recipe_that_must_not_be_compared_is_marked_in_the_picture():
    reworded = synthetic.preference().model_copy(update={"version": 2})
    figure = dose_response_figure(group_seeds([*sweep(), job("x", 9, rate=5e-4, asked=reworded)]))
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "must not be compared: the preference's version differ" in said


# --- control runs -------------------------------------------------------------------------------


def under(control: str, passed: int, seed: int):
    return made_run(f"{control}-{seed}", passing(passed), config={"seed": seed, "control": control})


def test_the_gain_over_placebo_is_the_difference_seed_by_seed_with_its_interval():
    treated = [under("none", count, seed) for seed, count in enumerate((16, 18, 17), 1)]
    placebo = [under("placebo", count, seed) for seed, count in enumerate((6, 4, 5), 1)]
    none, control = recipes_of(*treated, *placebo)
    assert (none.settings, control.settings) == ({"control": "none"}, {"control": "placebo"})
    gain = none.gains["placebo"]["obeyed"]
    assert [seed.value for seed in gain.seeds] == pytest.approx([0.5, 0.7, 0.6])
    half = 4.302652729911275 * 0.1 / 3**0.5
    assert (gain.interval.lower, gain.interval.upper) == pytest.approx((0.6 - half, 0.6 + half))
    assert control.gains == {}
    assert control.outcomes == {"control": 3}, "a control never reads as learned"


def test_a_seed_without_its_control_is_in_no_gain_and_two_seeds_claim_nothing():
    runs = [under("none", 16, seed) for seed in (1, 2, 3)] + [under("placebo", 6, seed) for seed in (1, 2)]
    gain = recipes_of(*runs)[0].gains["placebo"]["obeyed"]
    assert [seed.seed for seed in gain.seeds] == [1, 2]
    assert (gain.interval, gain.claim) == (None, "2 seeds: no claim")


def test_recipes_that_differ_otherwise_too_are_no_controls_of_each_other():
    treated = made_run("a", passing(16), config={"seed": 1, "control": "none", "batch_size": 2})
    placebo = made_run("b", passing(6), config={"seed": 1, "control": "placebo", "batch_size": 4})
    assert all(recipe.gains == {} for recipe in recipes_of(treated, placebo))
