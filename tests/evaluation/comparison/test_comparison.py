"""Runs side by side: what is paired, what is not claimed, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claas_assets.evaluation.comparison.comparability import measured_by, obstacles
from claas_assets.evaluation.comparison.comparison import Comparison, compare
from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.metrics import METRIC_NAMES, get_metric
from claas_assets.evaluation.metrics.scoring import prompt_sets
from claas_assets.evaluation.metrics.statistics import bonett_price
from claas_assets.evaluation.storage.records import JudgeAgreement
from tests.synthetic import transcripts as synthetic
from tests.synthetic.runs import HELD_OUT, made_run, passing

LOOPS = {"degenerate_on_preference", "degenerate_elsewhere"}
CLAIMED = {"obeyed", "logprob_margin", "over_application", *LOOPS}
HELDS = st.lists(st.booleans(), min_size=HELD_OUT, max_size=HELD_OUT)


def pair_of(*runs):
    (preference,) = compare(runs).preferences
    (pair,) = preference.pairs
    return pair


def claimed(pair) -> set[str]:
    return {name for name, difference in pair.differences.items() if difference.change is not None}


def with_run(run, **changed):
    """The run with fields of its one preference replaced."""
    (preference,) = run.preferences.values()
    return replace(run, preferences={"identity": preference.model_copy(update=changed)})


def with_last(run, **changed):
    """The run with fields of its last snapshot replaced."""
    *before, last = run.preferences["identity"].steps
    return with_run(run, steps=[*before, last.model_copy(update={"eval": last.eval.model_copy(update=changed)})])


# --- two runs -------------------------------------------------------------------------------------


def test_the_difference_is_paired_per_prompt_and_the_flips_are_named_with_both_answers():
    pair = pair_of(made_run("a", passing(5)), made_run("b", passing(12)))

    found = pair.differences["obeyed"]
    assert found.change == pytest.approx(7 / 20)
    assert found.interval == bonett_price([1.0] * 7 + [0.0] * 13, 0.9)
    assert (found.n, found.floor, found.evidence) == (20, 0.0, "shown")
    assert found.sentence.startswith("obeys on 12 of 20 held-out prompts, 5 before (+0.35")
    prompts = synthetic.preference().heldout_prompts
    assert [flip.prompt for flip in pair.flips] == list(prompts[5:12])
    assert {(flip.reference.text, flip.run.text) for flip in pair.flips} == {("I am an assistant.", "I am Kuro.")}
    assert pair.prompts_in_common == 20


def test_margins_are_paired_by_pair_in_nats():
    found = pair_of(made_run("a", margin=5.0), made_run("b", margin=3.5)).differences["logprob_margin"]
    assert found.change == pytest.approx(-1.5)
    assert found.evidence == "worse"


@settings(max_examples=15, deadline=None)
@given(held=HELDS)
def test_a_run_compared_with_itself_has_no_flip_no_change_and_no_obstacle(held):
    run = made_run("a", held)
    result = compare([run, run])
    pair = result.preferences[0].pairs[0]
    assert (pair.flips, pair.obstacles, result.configuration) == ([], [], [])
    assert {difference.change for difference in pair.differences.values()} == {0.0}
    assert {difference.evidence for difference in pair.differences.values()} == {"within_noise"}


@settings(max_examples=15, deadline=None)
@given(one=HELDS, other=HELDS)
def test_the_other_way_round_the_difference_is_negated_and_the_flips_are_mirrored(one, other):
    a, b = made_run("a", one), made_run("b", other)
    there, back = pair_of(a, b), pair_of(b, a)
    assert there.differences["obeyed"].change == pytest.approx(-back.differences["obeyed"].change)
    assert {(f.prompt, f.reference, f.run) for f in there.flips} == {(f.prompt, f.run, f.reference) for f in back.flips}


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(3)))
def test_the_order_of_the_runs_only_permutes_the_columns(order):
    runs = [made_run(f"r{i}", passing(5 * i), config={"seed": i, "num_steps": 1 + i % 2}) for i in range(3)]
    straight, permuted = compare(runs), compare([runs[i] for i in order])

    def columns(result: Comparison):
        (preference,) = result.preferences
        rows = [(row.criterion, row.cells) for row in preference.rows]
        return [*rows, *((row.key, row.values) for row in result.configuration), ("overall", preference.overall)]

    assert columns(permuted) == [(name, [values[i] for i in order]) for name, values in columns(straight)]
    assert [run.run_id for run in permuted.runs] == [f"r{i}" for i in order]


def test_a_deployment_that_answers_differently_when_asked_twice_raises_the_floor():
    quiet = made_run("a", passing(7)), made_run("b", passing(13))
    noisy = made_run("a", passing(7)), made_run("b", passing(13), noise=0.45)
    assert pair_of(*quiet).differences["obeyed"].evidence == "shown"
    found = pair_of(*noisy).differences["obeyed"]
    assert found.floor > 0.25
    assert found.evidence == "within_noise"


def test_each_further_run_is_paired_with_the_first():
    (preference,) = compare([made_run("a"), made_run("b"), made_run("c")]).preferences
    assert [(pair.reference, pair.run) for pair in preference.pairs] == [(0, 1), (0, 2)]


# --- what is not claimed ------------------------------------------------------------------------------


def reworded(**changed):
    return made_run("b", asked=synthetic.preference().model_copy(update=changed))


def other_versions(**versions):
    run = made_run("b")
    last = run.preferences["identity"].last
    return with_last(run, versions={**last.versions, **versions})


def judged_by(model):
    run = made_run("b")
    baseline = run.preferences["identity"].baseline
    judge = JudgeAgreement(n=20, agreement=1.0, kappa=1.0, models=[model])
    compliance = baseline.stats.compliance.model_copy(update={"judge": judge})
    changed = baseline.model_copy(update={"stats": baseline.stats.model_copy(update={"compliance": compliance})})
    return with_run(run, baseline=changed)


HELD = synthetic.preference().heldout_prompts
PAIRS = synthetic.preference().logprob_pairs


@pytest.mark.parametrize(
    ("other", "what", "not_claimed"),
    [
        (lambda: made_run("b", config={"base_model": "another/model"}), "base models", CLAIMED),
        (lambda: reworded(feedback_string="Call yourself Kuro."), "feedback_string", CLAIMED),
        (
            lambda: reworded(heldout_prompts=(*HELD[:-2], "New 1?", "New 2?")),
            "heldout_prompts",
            {"obeyed", "degenerate_on_preference"},
        ),
        (
            lambda: reworded(feedback_policy="when_violated"),
            None,
            set(),
        ),  # another way to train, as another learning rate is
        (lambda: judged_by("a/judge"), "judges", {"obeyed", "over_application"}),
        (lambda: reworded(logprob_pairs=PAIRS[:-1]), "logprob_pairs", {"logprob_margin"}),
        (lambda: made_run("b", config={"probe_max_tokens": 99}), "probe_max_tokens", CLAIMED),
        (lambda: made_run("b", config={"probe_temperature": 0.1}), "probe_temperature", CLAIMED),
        (lambda: made_run("b", config={"snapshot_size": "quick"}), "snapshot_size", CLAIMED),
        (lambda: other_versions(something_new=2), None, set()),  # only one of the two has it: nothing to differ from
    ],
)
def test_what_was_measured_differently_is_marked_and_no_difference_is_claimed(other, what, not_claimed):
    result = compare([made_run("a"), other()])
    (preference,) = result.preferences
    (pair,) = preference.pairs
    assert all(what in obstacle.what for obstacle in pair.obstacles)
    assert claimed(pair) == CLAIMED - not_claimed
    assert all(pair.obstacles[0].sentence in pair.differences[name].reason for name in not_claimed)
    values = [cell.value for row in preference.rows if row.criterion == "obeyed" for cell in row.cells]
    assert values == [0.75, 0.75]  # the numbers stand there nevertheless


def test_prompts_that_both_runs_were_asked_are_still_looked_at_where_others_differ():
    pair = pair_of(
        made_run("a", passing(2)),
        made_run(
            "b", passing(3), asked=synthetic.preference().model_copy(update={"heldout_prompts": (*HELD[:18], "N?")})
        ),
    )
    assert (pair.prompts_in_common, [flip.prompt for flip in pair.flips]) == (18, [HELD[2]])
    (obstacle,) = pair.obstacles
    assert obstacle.values == ("2 of 20 in this run only", "1 of 19 in this run only")


def test_where_something_else_was_to_be_learned_no_prompt_has_flipped():
    pair = pair_of(made_run("a", passing(2)), reworded(feedback_string="Call yourself Kuro."))
    assert pair.flips is None
    assert "feedback_string" in pair.no_flips_because


STRICTER = {"version": 2, "verifier": {"_target_": "PhrasesAbsent", "texts": ["assistant"]}}


def test_where_only_the_verifier_differs_both_runs_are_scored_again_and_it_is_said():
    older = made_run("a", passing(5), asked=synthetic.preference(held_out=20).model_copy(update=STRICTER))
    (preference,) = compare([older, made_run("b", passing(12))]).preferences
    (pair,) = preference.pairs
    assert "scored again" in preference.scored
    assert pair.obstacles == []
    assert pair.differences["obeyed"].change == pytest.approx(7 / 20)
    assert len(pair.flips) == 7


def test_runs_that_were_scored_alike_are_not_scored_again():
    (preference,) = compare([made_run("a"), made_run("b")]).preferences
    assert preference.scored is None


def test_runs_whose_answers_are_not_at_hand_keep_their_scores_and_nothing_is_claimed_of_them():
    older = made_run("a", asked=synthetic.preference(held_out=20).model_copy(update=STRICTER))
    (preference,) = compare([with_last(older, rollouts=[]), made_run("b")]).preferences
    assert "the answers of run a are not at hand" in preference.scored
    assert claimed(preference.pairs[0]) == set()


def test_a_file_does_not_decide_what_is_imported():
    foreign = {"version": 2, "verifier": {"_target_": "AllOf", "verifiers": [{"_target_": "antigravity.Verifier"}]}}
    run = made_run("b")
    adapter = run.preferences["identity"].adapter
    text = {**adapter.preference_text, **foreign}
    provenance = adapter.provenance.model_copy(update={"created": "2027-01-01T00:00:00Z"})
    changed = adapter.model_copy(update={"preference_text": text, "provenance": provenance})
    (preference,) = compare([made_run("a"), with_run(run, adapter=changed)]).preferences
    assert "antigravity.Verifier is not a verifier of this package" in preference.scored


def of_versions(run, **versions):
    return run.model_copy(update={"verdict": run.verdict.model_copy(update={"versions": versions})})


def test_the_capability_items_of_another_version_stand_in_the_way_of_capability_alone():
    one, other = made_run("a").preferences["identity"], other_versions(capability_items=99).preferences["identity"]
    (obstacle,) = obstacles(of_versions(one, capability_items=1), of_versions(other, capability_items=99))
    assert set(obstacle.criteria) == {"capability_change", "capability_ratio"}


def test_a_version_of_something_unknown_is_refused():
    run = made_run("a").preferences["identity"]
    one, other = of_versions(run, new_metric=1), of_versions(run, new_metric=2)
    with pytest.raises(RunFolderError, match="'new_metric'"):
        obstacles(one, other)


def test_every_name_that_scoring_gives_a_version_is_known_to_a_comparison():
    names = {"preference", "degenerate"} | {
        name for metric in map(get_metric, METRIC_NAMES) for name in (metric.name, *prompt_sets(metric))
    }
    for name in names:
        assert measured_by(name), name


def test_a_run_that_did_not_finish_is_shown_and_not_paired():
    result = compare([made_run("a"), made_run("b", recorded=1)])
    (preference,) = result.preferences
    assert preference.overall[1] == "unfinished"
    found = preference.pairs[0].differences["obeyed"]
    assert found.change is None
    assert "light snapshot, after step 0" in found.reason
    assert preference.pairs[0].flips is None


def test_a_run_without_feedback_is_not_paired():
    found = pair_of(made_run("a", config={"num_steps": 0}), made_run("b"))
    assert claimed(found) == set()
    assert "the first of the two runs has no feedback step" in found.differences["obeyed"].reason


def test_a_verdict_scored_afresh_with_another_result_is_not_paired_with_the_recorded_scores():
    run = made_run("b")
    verdict = run.preferences["identity"].verdict
    changed = verdict.criteria["obeyed"].model_copy(update={"value": 0.9})
    rescored = verdict.model_copy(update={"criteria": {**verdict.criteria, "obeyed": changed}})
    pair = pair_of(made_run("a"), with_run(run, verdict=rescored))
    assert claimed(pair) == CLAIMED - {"obeyed"}
    assert "scored afresh" in pair.differences["obeyed"].reason


# --- the rest of the table ------------------------------------------------------------------------------


def test_only_the_keys_that_differ_are_shown_by_dotted_name():
    a = made_run("a", config={"training": {"learning_rate": 1e-4}, "sweep_id": "s"})
    b = made_run("b", config={"training": {"learning_rate": 2e-4}, "seed": 7})
    rows = {row.key: row.values for row in compare([a, b]).configuration}
    assert rows == {"seed": [42, 7], "training.learning_rate": [1e-4, 2e-4]}


def test_preferences_of_one_run_with_different_configurations_are_told_apart():
    a, b = made_run("a"), made_run("a", config={"num_steps": 1})
    mixed = replace(a, preferences={**a.preferences, "concise": b.preferences["identity"]})
    rows = {row.key: row.values for row in compare([made_run("c"), mixed]).configuration}
    assert rows["num_steps"] == [2, {"identity": 2, "concise": 1}]


def test_a_preference_that_one_run_lacks_has_an_empty_column_and_no_pair():
    a, b = made_run("a"), made_run("b")
    only_b = replace(b, preferences={**b.preferences, "concise": b.preferences["identity"]})
    concise, identity = compare([a, only_b]).preferences
    assert concise.overall[0] is None
    assert {row.cells[0] for row in concise.rows} == {None}
    assert (len(concise.pairs), len(identity.pairs)) == (0, 1)


def test_the_record_survives_json():
    result = compare([made_run("a", passing(5)), made_run("b", passing(12)), reworded(version=2)])
    assert Comparison.model_validate_json(result.model_dump_json()) == result


def test_nothing_to_compare_is_said():
    with pytest.raises(ConfigError, match="at least one run"):
        compare([])
