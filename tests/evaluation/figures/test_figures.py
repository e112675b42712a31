"""The pictures: what is drawn where, what is left open, and what is said about it."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.figures import FIGURES, asked_figures, draw, figures, sparkline
from claas_assets.evaluation.figures.collapse import GAUGES
from claas_assets.evaluation.figures.series import runs_of
from claas_assets.evaluation.storage.records import (
    Criterion,
    EvalSnapshot,
    Interval,
    NoiseFloor,
    Unmeasured,
)
from tests.synthetic.stories import STORIES, Demo, Story, demo, without_engine_numbers

IDENTITY, CONCISE, _ = STORIES
SILENT = replace(IDENTITY, failed={2: "the server answered 500", 3: "the server answered 500", 6: "too slow"})


@pytest.fixture(scope="module")
def made() -> Demo:
    return demo()


@pytest.fixture(scope="module")
def pictures(made) -> dict[str, bytes]:
    return draw(made.scores, made.verdicts)


def drawn(records: Demo, name: str):
    """One of the figures, without drawing the other four."""
    drawing = getattr(import_module(f"claas_assets.evaluation.figures.{name}"), f"{name}_figure")
    return drawing(runs_of(records.scores, records.verdicts))


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def values(line):
    """x → y of a drawn line, None for a gap."""
    points = zip(line.get_xdata(), line.get_ydata(), strict=True)
    return {int(x): None if math.isnan(y) else float(y) for x, y in points}


def levels(axes, *words):
    """Heights of the horizontal lines whose label begins with one of these words."""
    return sorted({float(line.get_ydata()[0]) for line in axes.lines if str(line.get_label()).startswith(words)})


def said(figure) -> str:
    """Every text of a picture, without the line ends of wrapping."""
    from matplotlib.text import Text

    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def with_states(records: Demo, name: str, change) -> Demo:
    """The records with every state of one preference put through `change(x, snapshot)`."""
    scores = records.scores[name]
    steps = [step.model_copy(update={"eval": change(step.step + 1, step.eval)}) for step in scores.steps]
    return with_scores(records, name, baseline=change(0, scores.baseline), steps=steps)


def with_scores(records: Demo, name: str, **changed) -> Demo:
    scores = records.scores[name].model_copy(update=changed)
    return replace(records, scores={**records.scores, name: scores})


def with_steps(records: Demo, name: str, change) -> Demo:
    """The same for whole step lines: `change(record)`."""
    return with_scores(records, name, steps=[change(step) for step in records.scores[name].steps])


def with_criterion(records: Demo, name: str, criterion: str, **fields) -> Demo:
    verdict = records.verdicts[name]
    changed = {**verdict.criteria, criterion: verdict.criteria[criterion].model_copy(update=fields)}
    return replace(records, verdicts={**records.verdicts, name: verdict.model_copy(update={"criteria": changed})})


# --- files ------------------------------------------------------------------------------------


def test_draw_gives_five_readable_pngs(pictures):
    from PIL import Image

    assert list(pictures) == [f"{name}.png" for name in FIGURES]
    for png in pictures.values():
        image = Image.open(BytesIO(png))
        image.load()
        assert image.format == "PNG"
        assert image.width >= 1000
        assert image.info.keys() <= {"dpi"}  # no date, no version
        assert len(image.convert("L").getcolors()) > 50  # not an empty sheet


def test_the_order_of_the_preferences_changes_no_picture(made):
    def turned(mapping):
        return dict(reversed(mapping.items()))

    figure = drawn(made, "margins")
    other = drawn(Demo(turned(made.scores), turned(made.verdicts)), "margins")
    assert said(figure) == said(other)
    for axes, same in zip(figure.axes, other.axes, strict=True):
        assert [values(line) for line in axes.lines] == [values(line) for line in same.lines]


def test_no_preference_gives_no_picture():
    assert draw({}, {}) == {}


def test_importing_the_package_loads_no_matplotlib_and_drawing_loads_no_pyplot():
    program = (
        "import sys; from claas_assets.evaluation.figures import figures; assert 'matplotlib' not in sys.modules; "
        "from tests.synthetic.stories import STORIES, demo; d = demo(STORIES[:1]); "
        "figures(d.scores, d.verdicts); assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- gaps and reasons -------------------------------------------------------------------------


def test_a_missing_margin_is_a_gap_with_its_reason_and_never_a_zero():
    figure = drawn(demo([SILENT]), "margins")
    (line,) = lines(figure.axes[0], "change of margin, mean over pairs")
    curve = values(line)
    assert sorted(curve) == list(range(9))
    assert [x for x, y in curve.items() if y is None] == [2, 3, 6]
    assert curve[0] == 0.0
    assert "identity, after 2–3 steps: logprob margin not measured: the server answered 500" in said(figure)
    assert "identity, after 6 steps: logprob margin not measured: too slow" in said(figure)


def test_the_margin_line_and_band_are_the_recorded_delta_and_its_interval(made):
    axes = drawn(made, "margins").axes[1]
    (line,) = lines(axes, "change of margin, mean over pairs")
    for step in made.scores["identity"].steps:
        assert values(line)[step.step + 1] == pytest.approx(step.eval.stats.logprob.delta.mean)
    (band,) = [c for c in axes.collections if c.get_label() == "95 % t interval"]
    last = made.scores["identity"].steps[-1].eval.stats.logprob.delta.interval
    edges = sorted(y for x, y in band.get_paths()[0].vertices if x == 8)
    assert edges[0] == pytest.approx(last.lower)
    assert edges[-1] == pytest.approx(last.upper)
    assert "n = 10 pairs" in said(axes.figure)


def test_margins_are_paired_with_the_baseline_where_a_record_has_no_delta():
    records = demo([IDENTITY])
    expected = records.scores["identity"].steps[-1].eval.stats.logprob.delta

    def drop(x, snapshot):
        logprob = snapshot.stats.logprob.model_copy(update={"delta": None})
        return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={"logprob": logprob})})

    axes = drawn(with_states(records, "identity", drop), "margins").axes[0]
    (line,) = lines(axes, "change of margin, mean over pairs")
    assert values(line)[8] == pytest.approx(expected.mean)
    assert f"[+{expected.interval.lower:.2f}, +" in said(axes.figure)


def test_a_state_without_value_and_without_reason_is_a_gap_that_says_so():
    def lose(x, snapshot):
        return snapshot.model_copy(update={"logprob_margin": None, "unmeasured": {}}) if x == 5 else snapshot

    records = with_states(demo([replace(IDENTITY, failed={5: "x"})]), "identity", lose)
    figure = drawn(records, "margins")
    (line,) = lines(figure.axes[0], "change of margin, mean over pairs")
    assert values(line)[5] is None
    assert "after 5 steps: logprob margin not measured: no reason was recorded" in said(figure)


def test_a_state_where_collapse_was_not_due_is_no_gap(made):
    figure = drawn(made, "collapse")
    (line,) = lines(figure.axes[0], "identity")
    assert sorted(values(line)) == [0, 3, 6, 8]
    assert None not in values(line).values()
    assert "not measured" not in said(figure)


@pytest.mark.parametrize("key", ["collapse.self_rouge_l", "stats.collapse.self_rouge_l", "collapse"])
def test_a_reason_is_found_under_the_name_or_what_it_is_part_of(key):
    def blind(x, snapshot):
        if x != 3:
            return snapshot
        scores = snapshot.collapse.model_copy(update={"self_rouge_l": None})
        reason = Unmeasured(kind="unavailable", reason="identical texts")
        return snapshot.model_copy(update={"collapse": scores, "unmeasured": {key: reason}})

    figure = drawn(with_states(demo([IDENTITY]), "identity", blind), "collapse")
    assert values(lines(figure.axes[1], "identity")[0])[3] is None
    assert "identity, after 3 steps: self-ROUGE-L not measured: identical texts" in said(figure)


def test_a_reason_of_a_sibling_explains_nothing():
    def blind(x, snapshot):
        scores = snapshot.collapse and snapshot.collapse.model_copy(update={"self_rouge_l": None})
        reason = Unmeasured(kind="unavailable", reason="no logprobs here")
        return snapshot.model_copy(update={"collapse": scores, "unmeasured": {"collapse.mean_entropy": reason}})

    figure = drawn(with_states(demo([IDENTITY]), "identity", blind), "collapse")
    assert "self-ROUGE-L not measured: no logprobs" not in said(figure)


def test_a_number_that_is_not_finite_is_a_gap():
    def poison(x, snapshot):
        return snapshot.model_copy(update={"preference_compliance": math.inf}) if x == 4 else snapshot

    def no_stats(x, snapshot):
        stats = snapshot.stats.model_copy(update={"compliance": None})
        return poison(x, snapshot.model_copy(update={"stats": stats}))

    figure = drawn(with_states(demo([IDENTITY]), "identity", no_stats), "learning_curves")
    (line,) = lines(figure.axes[0], "trained prompts")
    assert values(line)[4] is None
    assert "the recorded value is inf, not a finite number" in said(figure)


def test_units_without_an_answer_are_said_beside_the_mean_of_the_others():
    def hole(x, snapshot):
        if x != 2:
            return snapshot
        compliance = snapshot.stats.compliance
        units = compliance.sets["probe_prompts"].model_copy(update={"n": 8, "missing": {"a": "timed out", "b": "x"}})
        compliance = compliance.model_copy(update={"sets": {**compliance.sets, "probe_prompts": units}})
        return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={"compliance": compliance})})

    figure = drawn(with_states(demo([IDENTITY]), "identity", hole), "learning_curves")
    assert "after 2 steps: obedience on trained prompts: 2 of 10 without an answer: timed out" in said(figure)
    assert "n = 8–10 trained" in said(figure)


def test_foreign_text_is_shown_as_it_is_and_not_as_mathematics():
    story = replace(IDENTITY, failed={1: "cost $5 and $x^$ and 100 % \\frac{1}{0} 🎉"})
    figure = drawn(demo([story]), "margins")
    assert r"cost \$5 and \$x^\$ and 100 % \frac{1}{0} □" in said(figure)  # matplotlib shows \$ as $
    figure.savefig(BytesIO(), format="png")  # would raise on broken mathematics


def test_many_different_reasons_are_counted_and_not_all_shown():
    story = replace(IDENTITY, num_steps=20, recorded=20, failed={x: f"reason {x}" for x in range(1, 13)})
    text = said(drawn(demo([story]), "margins"))
    assert "reason 8" in text
    assert "reason 9" not in text
    assert "… and 4 more" in text


# --- unfinished -------------------------------------------------------------------------------


def test_an_unfinished_preference_is_drawn_as_far_as_it_is(made):
    figure = drawn(made, "margins")
    axes = figure.axes[2]
    assert axes.get_title(loc="left") == "no_emoji"
    assert sorted(values(lines(axes, "change of margin, mean over pairs")[0])) == [0, 1, 2, 3, 4, 5]
    assert axes.get_xlim()[1] > 8
    assert "unfinished: 5 of 8 steps" in said(figure)
    assert "not run yet" in said(figure)
    assert levels(axes, "pass", "fail") == []  # no verdict, so no bound


LACKING = {"baseline": {"baseline": None}, "steps": {"steps": []}, "verdict": {}}


def without(made: Demo, name: str, *what: str) -> Demo:
    """The records of all, of which `name` lacks `what`."""
    lacking = with_scores(made, name, **{key: value for part in what for key, value in LACKING[part].items()})
    kept = {key: given for key, given in made.verdicts.items() if "verdict" not in what or key != name}
    return replace(lacking, verdicts=kept)


@pytest.mark.parametrize("left_out", LACKING)
def test_a_preference_may_lack_anything(made, left_out):
    two = replace(made, scores={name: made.scores[name] for name in ("identity", "no_emoji")})
    partial = without(two, "identity", left_out)
    pictures = figures(partial.scores, partial.verdicts)
    assert list(pictures) == list(FIGURES)
    for name in ("margins", "learning_curves", "capability"):
        assert [axes.get_title(loc="left") for axes in pictures[name].axes] == ["identity", "no_emoji"]


@pytest.mark.parametrize("kept", LACKING)
def test_a_preference_may_have_one_thing_only(made, kept):
    one = Demo({"identity": made.scores["identity"]}, {"identity": made.verdicts["identity"]})
    alone = without(one, "identity", *(what for what in LACKING if what != kept))
    pictures = figures(alone.scores, alone.verdicts)
    assert list(pictures) == list(FIGURES)
    if kept == "verdict":
        assert "nothing is recorded yet" in said(pictures["margins"])
    if kept == "baseline":
        assert "no feedback step is recorded yet" in said(pictures["sdpo"])


def test_a_verdict_older_than_the_steps_gives_its_bounds_and_not_its_findings(made):
    verdict = made.verdicts["identity"].model_copy(update={"steps_recorded": 4})
    figure = drawn(replace(made, verdicts={"identity": verdict}), "learning_curves")
    axes = figure.axes[1]
    assert levels(axes, "pass", "fail") == [0.5, 0.8]
    assert "verdict: pass" not in said(axes)
    assert "no verdict yet" in said(axes)


def test_a_run_that_measured_nothing_says_so_in_every_picture():
    records = with_states(demo([IDENTITY]), "identity", lambda x, snapshot: EvalSnapshot(snapshot=snapshot.snapshot))
    for name in ("margins", "learning_curves", "collapse", "capability"):
        assert "not asked in this run" in said(drawn(records, name))


# --- bounds and levels ------------------------------------------------------------------------


def test_bounds_are_those_of_the_verdict():
    records = demo([IDENTITY])
    for criterion, (ok, bad) in {
        "logprob_margin": (3.25, 1.5), "obeyed": (0.9, 0.35), "loops": (0.07, 0.15),
        "fixed_text_drift": (0.11, 0.22), "entropy_ratio": (0.7, 0.5), "self_rouge_l": (0.8, 0.9),
    }.items():  # fmt: skip
        records = with_criterion(records, "identity", criterion, threshold={"pass_at": ok, "fail_at": bad})
    assert levels(drawn(records, "margins").axes[0], "pass", "fail") == [1.5, 3.25]
    assert levels(drawn(records, "learning_curves").axes[0], "pass", "fail") == [0.35, 0.9]
    panels = drawn(records, "collapse").axes
    assert [levels(axes, "pass", "fail") for axes in panels] == [
        [0.5, 0.7], [0.8, 0.9], [0.07, 0.15], [-0.22, -0.11, 0.11, 0.22],
    ]  # fmt: skip
    assert "pass at 3.25 nats" in said(drawn(records, "margins"))


def test_alert_zones_reach_from_the_alert_bound_to_the_end_of_the_axis(made):
    for axes, expected in zip(
        drawn(made, "collapse").axes,
        [{(None, 0.6)}, {(0.85, None)}, {(0.2, None)}, {(0.3, None), (None, -0.3)}],
        strict=True,
    ):
        zones = [patch.get_bbox() for patch in axes.patches if patch.get_label() == "alert zone"]
        ends = dict.fromkeys(axes.get_ylim())
        assert {(ends.get(zone.ymin, zone.ymin), ends.get(zone.ymax, zone.ymax)) for zone in zones} == expected


def test_the_capability_bound_is_the_tolerated_loss_from_the_baseline():
    records = demo([IDENTITY])
    start = records.scores["identity"].baseline.stats.general.items.mean
    assert levels(drawn(records, "capability").axes[0], "tolerated") == pytest.approx([start - 0.15])


def test_without_items_the_ratio_of_the_four_probes_gives_the_bounds():
    def drop(x, snapshot):
        general = snapshot.stats.general.model_copy(update={"items": None})
        return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={"general": general})})

    records = with_states(demo([IDENTITY]), "identity", drop)
    start = records.scores["identity"].baseline.general.general_score
    assert start > 0
    assert levels(drawn(records, "capability").axes[0], "pass", "fail") == pytest.approx([0.7 * start, 0.9 * start])


def test_ceiling_and_noise_floor_are_drawn_where_measured():
    records = demo([CONCISE])
    compliance = records.scores["concise"].baseline.stats.compliance
    axes = drawn(records, "learning_curves").axes[0]
    assert levels(axes, "ceiling") == pytest.approx([compliance.sets["ceiling"].mean])
    phi = 1.959964 * math.sqrt(2 * 0.01 / 20)
    assert levels(axes, "noise floor") == pytest.approx([compliance.sets["heldout_prompts"].mean + phi])
    judged = with_criterion(records, "concise", "obeyed", floor=0.2)
    assert levels(drawn(judged, "learning_curves").axes[0], "noise floor") == pytest.approx(
        [compliance.sets["heldout_prompts"].mean + 0.2]
    )


def test_a_ceiling_that_failed_is_a_note_and_no_line():
    def fail(x, snapshot):
        if x:
            return snapshot
        compliance = snapshot.stats.compliance
        sets = {name: units for name, units in compliance.sets.items() if name != "ceiling"}
        stats = snapshot.stats.model_copy(update={"compliance": compliance.model_copy(update={"sets": sets})})
        reason = {"compliance.ceiling": Unmeasured(kind="failed", reason="context too long")}
        return snapshot.model_copy(update={"stats": stats, "unmeasured": reason})

    figure = drawn(with_states(demo([CONCISE]), "concise", fail), "learning_curves")
    assert levels(figure.axes[0], "ceiling") == []
    assert "concise, baseline: ceiling not measured: context too long" in said(figure)


def test_a_deterministic_server_has_its_noise_floor_at_the_baseline():
    def still(x, snapshot):
        noise = NoiseFloor(n=20, flip_rate=0, sigma2=0, mean_difference=0, deterministic=True)
        compliance = snapshot.stats.compliance.model_copy(update={"noise": noise})
        return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={"compliance": compliance})})

    records = with_states(demo([CONCISE]), "concise", still)
    start = records.scores["concise"].baseline.stats.compliance.sets["heldout_prompts"].mean
    assert levels(drawn(records, "learning_curves").axes[0], "noise floor") == [start]


def test_held_out_points_stand_at_full_snapshots_with_their_interval(made):
    axes = drawn(made, "learning_curves").axes[1]
    (points,) = lines(axes, "held-out prompts (full snapshot)")
    assert sorted(values(points)) == [0, 8]
    bars = sorted(tuple(path[:, 1]) for c in axes.collections for path in c.get_segments())
    ends = [made.scores["identity"].baseline, made.scores["identity"].steps[-1].eval]
    wanted = sorted(
        (interval.lower, interval.upper)
        for interval in (snapshot.stats.compliance.sets["heldout_prompts"].interval for snapshot in ends)
    )
    assert bars == [pytest.approx(pair) for pair in wanted]


def test_an_interval_that_is_not_of_95_percent_says_its_level():
    interval = Interval(lower=-0.1, upper=0.2, level=0.9)
    records = with_criterion(demo([IDENTITY]), "identity", "capability_change", change=0.05, interval=interval)
    assert "change +0.05 [−0.10, +0.20] (90%)" in said(drawn(records, "capability"))


def test_a_story_of_no_steps_is_a_baseline():
    story = Story(name="still", start=0.2, end=0.2, nats=0.0, damage=0.0, num_steps=1, recorded=0)
    figure = drawn(demo([story]), "margins")
    assert "unfinished: 0 of 1 steps" in said(figure)


def test_a_criterion_without_bounds_draws_none():
    records = demo([IDENTITY])
    bare = {"logprob_margin": Criterion(value=None, grade="inconclusive")}
    verdict = records.verdicts["identity"].model_copy(update={"criteria": bare})
    figure = drawn(replace(records, verdicts={"identity": verdict}), "margins")
    assert levels(figure.axes[0], "pass", "fail") == []


# --- the engine's numbers ---------------------------------------------------------------------


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def test_every_number_of_the_engine_is_a_panel_and_the_first_step_is_at_one(made):
    figure = drawn(made, "sdpo")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:5] == ["Loss", "Distillation loss", "Importance ratio", "Clipped ratios", "Gradient norm"]
    assert "batch_size" not in titles
    (line,) = lines(panel(figure, "Loss"), "identity")
    recorded = {s.step + 1: s.engine["total_loss"] for s in made.scores["identity"].steps}
    assert values(line) == pytest.approx(recorded)


def test_a_step_without_engine_numbers_is_a_gap_with_its_reason(made):
    figure = drawn(made, "sdpo")
    (line,) = lines(panel(figure, "Loss"), "concise")
    assert [x for x, y in values(line).items() if y is None] == [5]
    assert "concise, after 5 steps: sdpo_metrics not measured: the feedback call was interrupted" in said(figure)


def test_unknown_numbers_are_drawn_under_their_own_name_and_texts_are_not():
    def foreign(step):
        metrics = {"novelty": 1.0 if step.step != 3 else math.nan, "path": "a/b", "flag": True, "lr": 1e-4,
                   "per_step_metrics": [1, 2]}  # fmt: skip
        if step.step == 5:
            del metrics["novelty"]
        return step.model_copy(update={"engine": metrics})

    figure = drawn(with_steps(demo([IDENTITY]), "identity", foreign), "sdpo")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["novelty"]
    assert [x for x, y in values(lines(figure.axes[0], "identity")[0]).items() if y is None] == [4, 6]
    assert "after 4 steps: novelty not measured: reported as nan" in said(figure)
    assert "after 6 steps: novelty not measured: not reported in this step" in said(figure)


def test_an_engine_that_reports_nothing_gives_a_picture_that_says_so(made):
    figure = drawn(without_engine_numbers(made), "sdpo")
    assert "no engine numbers in any of 21 recorded steps" in said(figure)
    assert not any(axes.lines for axes in figure.axes)


def test_more_numbers_than_panels_are_named():
    def many(step):
        return step.model_copy(update={"engine": {f"m{i:02}": float(i) for i in range(12)}})

    figure = drawn(with_steps(demo([IDENTITY]), "identity", many), "sdpo")
    assert len(figure.axes) == 9
    assert "Not drawn: m09, m10, m11." in said(figure)


def test_a_step_far_from_all_others_is_said_and_does_not_flatten_them():
    def jumps(step):
        return step.model_copy(update={"engine": {"kl_reg": 900.0 if step.step == 3 else 0.01 + 0.001 * step.step}})

    figure = drawn(with_steps(demo([IDENTITY]), "identity", jumps), "sdpo")
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < 0.01 < high < 0.03
    assert "after 4 steps: kl_reg is 900, outside the axis" in said(figure)
    assert values(lines(figure.axes[0], "identity")[0])[4] == 900.0


def test_a_range_that_all_steps_share_is_shown_whole():
    def grows(step):
        return step.model_copy(update={"engine": {"kl_reg": 0.01 * 3.0**step.step}})

    records = with_steps(demo([IDENTITY]), "identity", grows)
    assert drawn(records, "sdpo").axes[0].get_ylim()[1] >= 0.01 * 3.0 ** (len(records.scores["identity"].steps) - 1)


@pytest.mark.parametrize(("drift", "titles"), [(0.0, ["Distillation loss"]), (0.2, ["Loss", "Distillation loss"])])
def test_a_loss_without_a_drift_term_is_one_line(drift, titles):
    def engine(step):
        loss = 1.0 - 0.1 * step.step
        return step.model_copy(update={"engine": {"distill_loss": loss, "total_loss": loss + drift}})

    figure = drawn(with_steps(demo([IDENTITY]), "identity", engine), "sdpo")
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles


def test_what_was_not_asked_has_no_picture(made):
    scores = {name: record.model_copy(update={"metrics": ["logprob"]}) for name, record in made.scores.items()}
    assert list(figures(scores, made.verdicts)) == ["margins", "sdpo"]
    assert asked_figures(["general"]) == ["capability", "sdpo"]


# --- layout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7])
def test_no_text_leaves_the_paper(count):
    names = ["x" * 64, *(f"preference_{i}" for i in range(1, count))]
    stories = [replace(STORIES[i % 3], name=name, failed={2: "long " * 60}) for i, name in enumerate(names)]
    for name in ("margins", "learning_curves", "collapse"):
        figure = drawn(demo(stories), name)
        figure.draw_without_rendering()
        for text in written(figure):
            box, paper = text.get_window_extent(), figure.bbox
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= paper.x1 + 1 and box.y1 <= paper.y1 + 1
            assert inside, (name, text.get_text(), box)


def written(figure):
    """All texts but the numbers of the axes, of which matplotlib keeps some outside."""
    from matplotlib.text import Text

    ticks = [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text not in ticks]


# --- sparkline --------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def polylines(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    ]


def circles(svg):
    return [(float(c.get("cx")), float(c.get("cy"))) for c in ElementTree.fromstring(svg).iter(f"{SVG}circle")]


def test_a_sparkline_breaks_at_gaps_and_keeps_lone_values():
    svg = sparkline([0, 1, None, 0.5, None, 1, 1], width=124, height=24)
    assert polylines(svg) == [[(2, 22), (22, 2)], [(102, 2), (122, 2)]]
    assert circles(svg) == [(62, 12), (122, 2)]
    assert "0 to 1, 2 of 7 not measured" in svg


def test_a_constant_sparkline_runs_through_the_middle():
    assert polylines(sparkline([3, 3, 3], width=44, height=20)) == [[(2, 10), (22, 10), (42, 10)]]


@pytest.mark.parametrize("values", [[], [None, None], [math.nan]])
def test_a_sparkline_of_nothing_draws_nothing_and_says_so(values):
    svg = sparkline(values, width=40, height=10)
    assert polylines(svg) == []
    assert circles(svg) == []
    assert "not measured" in svg


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=50), st.integers(5, 500), st.integers(5, 200))
def test_a_sparkline_is_well_formed_quotable_and_within_its_box(values, width, height):
    svg = sparkline(values, width=width, height=height)
    assert "#" not in svg
    assert "\n" not in svg
    points = [point for line in polylines(svg) for point in line]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points + circles(svg))
    shown = sum(len(line) for line in polylines(svg)) + len(set(circles(svg)) - set(points))
    assert shown == sum(value is not None for value in values) or width < len(values)


def test_a_sparkline_without_room_is_refused():
    with pytest.raises(ValueError, match="more than 4 pixels"):
        sparkline([1], width=100, height=4)


def test_what_is_drawn_is_what_decides_and_not_the_mean_score():
    def loops(x, snapshot):
        compliance = snapshot.stats.compliance
        sets = {
            name: units.model_copy(update={"obeyed": {unit: int(unit) < 2 for unit in units.scores}})
            for name, units in compliance.sets.items()
        }
        compliance = compliance.model_copy(update={"sets": sets})
        return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={"compliance": compliance})})

    figure = drawn(with_states(demo([IDENTITY]), "identity", loops), "learning_curves")
    (line,) = lines(figure.axes[0], "trained prompts")

    assert set(line.get_ydata()) == {0.2}


@pytest.mark.parametrize("gauge", GAUGES, ids=lambda gauge: gauge.title)
def test_each_panel_of_collapse_shades_the_zone_of_an_alert_that_there_is(gauge):
    assert gauge.alerts
