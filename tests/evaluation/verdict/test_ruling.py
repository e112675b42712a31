"""The verdict: obeyed, guards, extremes, outcomes, and the words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.config import METRICS, Threshold, Thresholds
from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.degenerate import count_answers
from claas_assets.evaluation.storage.records import (
    CollapseStats,
    ComplianceStats,
    Criterion,
    DegenerateStats,
    EvalSnapshot,
    GeneralScores,
    GeneralStats,
    JudgeAgreement,
    LogprobMargin,
    LogprobStats,
    NoiseFloor,
    ScoresRecord,
    SnapshotStats,
    StepRecord,
    UnitStats,
    Unmeasured,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.criteria import RULES
from claas_assets.evaluation.verdict.measurements import GUARDS
from claas_assets.evaluation.verdict.outcome import OVERALL, rule
from claas_assets.evaluation.verdict.ruling import judge, looks_at
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.transcripts import generated

ADAPTER = adapter_record(run_id="r")


def units(scores, missing=0, why="timeout") -> UnitStats:
    found = {f"unit {i}": float(score) for i, score in enumerate(scores)}
    return UnitStats(
        n=len(found),
        mean=sum(found.values()) / len(found) if found else None,
        scores=found,
        passed={unit: score >= 1 for unit, score in found.items()},
        obeyed={unit: score >= 1 for unit, score in found.items()},
        missing={f"lost {i}": why for i in range(missing)},
    )


def share(passed: int, of: int = 20) -> UnitStats:
    return units([1] * passed + [0] * (of - passed))


def snapshot(
    *,
    held: UnitStats | None = None,
    trained: UnitStats | None = None,
    over: UnitStats | None = None,
    ceiling: UnitStats | None = None,
    noise: NoiseFloor | None = None,
    margins=(0.0,) * 10,
    before=(0.0,) * 10,
    general: float = 1.0,
    items: UnitStats | None = None,
    collapse: CollapseStats | None = None,
    loops_here: int = 0,
    loops_elsewhere: int = 0,
    **more,
) -> EvalSnapshot:
    sets = {"probe_prompts": trained, "heldout_prompts": held, "over_application": over, "ceiling": ceiling}
    delta = [now - then for now, then in zip(margins, before, strict=True)]
    return EvalSnapshot(
        logprob_margin=LogprobMargin(
            positive_logprob=-5.0,
            negative_logprob=-5.0 - sum(margins) / len(margins),
            margin=sum(margins) / len(margins),
            margin_delta_from_baseline=sum(delta) / len(delta),
        ),
        preference_compliance=trained.mean if trained else None,
        general=GeneralScores(
            coding_correct=True, coding_has_docstring=True, ifeval_pass_rate=general, general_score=general
        ),
        stats=SnapshotStats(
            logprob=LogprobStats(margins=units(margins), per_token=units(margins), delta=units(delta)),
            compliance=ComplianceStats(sets={k: v for k, v in sets.items() if v is not None}, noise=noise),
            general=GeneralStats(public_probes=share(4, 4), items=items),
            collapse=collapse or healthy(),
            degenerate=DegenerateStats(on_preference=share(loops_here, 30), elsewhere=share(loops_elsewhere, 90)),
        ),
        snapshot="full",
        **more,
    )


def healthy(**changed) -> CollapseStats:
    values = {
        "entropy": units([1.0] * 9),
        "entropy_ratio": 1.0,
        "self_rouge_l": units([0.3] * 9),
        "rep4": units([0.04] * 8),
        "fixed_text_words": units([-2.0] * 12),
    }
    return CollapseStats(**{**values, **changed})


QUIET = NoiseFloor(n=20, flip_rate=0.0, sigma2=0.0, mean_difference=0.0, deterministic=True)
NOISY = NoiseFloor(n=20, flip_rate=0.5, sigma2=0.25, mean_difference=0.0, deterministic=False)


def untouched(**changed) -> EvalSnapshot:
    defaults = {
        "held": share(3), "trained": share(1, 10), "over": share(40, 40), "ceiling": share(19), "noise": QUIET,
        "items": share(90, 150),
    }  # fmt: skip
    return snapshot(**{**defaults, **changed})


def learned(**changed) -> EvalSnapshot:
    defaults = {
        "held": share(18), "trained": share(10, 10), "over": share(40, 40), "items": share(90, 150),
        "margins": (8.0, 9.0, 10.0, 11.0, 12.0) * 2,
    }  # fmt: skip
    return snapshot(**{**defaults, **changed})


def step(number: int, found: EvalSnapshot, *, interrupted: bool = False) -> StepRecord:
    return step_record(number, found, interrupted=interrupted)


def verdict(
    baseline: EvalSnapshot | None, *last: EvalSnapshot, metrics=METRICS, num_steps=None, thresholds=None
) -> VerdictRecord:
    asked = {"metrics": list(metrics), "num_steps": len(last) if num_steps is None else num_steps}
    adapter = ADAPTER.model_copy(update={"config": asked})
    scores = ScoresRecord.of(adapter, baseline, [step(i, found) for i, found in enumerate(last)])
    return judge(scores, thresholds or Thresholds())


def graded(name: str, baseline: EvalSnapshot, last: EvalSnapshot) -> Criterion:
    return verdict(baseline, last).criteria[name]


# --- a judge among the verifiers ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("agreement", "outcome", "said"),
    [
        (JudgeAgreement(n=40, agreement=0.95, kappa=0.9), "learned", None),
        (JudgeAgreement(n=40, agreement=0.78, kappa=0.55), "learned, harm not excluded", "κ = 0.55, and 0.6 is needed"),
        (JudgeAgreement(n=0), "learned, harm not excluded", "the judge was not calibrated"),
        (JudgeAgreement(n=0, missing={"I am": "503"}), "learned, harm not excluded", "on 0 labeled answers"),
        (JudgeAgreement(n=40, agreement=1.0, kappa=None), "learned, harm not excluded", "say the same word"),
    ],
)
def test_a_judge_that_is_not_calibrated_shows_no_more_than_learned_harm_not_excluded(agreement, outcome, said):
    baseline = untouched()
    compliance = baseline.stats.compliance.model_copy(update={"judge": agreement})
    stats = baseline.stats.model_copy(update={"compliance": compliance})
    found = verdict(baseline.model_copy(update={"stats": stats}), learned())

    assert found.outcome == outcome
    assert said is None or said in found.sentence.replace("The judge", "the judge")
    assert said is None or any(said in note for note in found.notes)


# --- learning --------------------------------------------------------------------------------


def test_every_threshold_belongs_to_a_criterion():
    assert set(Thresholds.model_fields) - {"harm_margin"} <= {rule.name for rule in RULES}
    assert list(verdict(untouched(), learned()).criteria) == [rule.name for rule in RULES]


def test_obeyed_says_how_many_of_how_many_and_the_bound_that_decided():
    criterion = graded("obeyed", untouched(), learned())

    assert criterion.sentence.startswith("obeys on 18 of 20 held-out prompts, 3 before (+0.75, at least +0.4")
    assert (criterion.value, criterion.baseline, criterion.n, criterion.role) == (0.9, 0.15, 20, "learning")
    assert criterion.interval is not None
    assert criterion.bound == criterion.interval.lower
    assert criterion.interval.level == pytest.approx(0.9)


def test_an_answer_that_passes_its_verifier_and_loops_does_not_obey():
    loops = share(18)
    loops = loops.model_copy(update={"obeyed": dict.fromkeys(loops.obeyed, False)})
    found = verdict(untouched(held=share(0)), learned(held=loops))

    assert found.criteria["obeyed"].value == 0
    assert found.outcome == "not learned"


def test_without_held_out_prompts_the_trained_ones_decide():
    criterion = graded("obeyed", untouched(held=None), learned(held=None))

    assert (criterion.value, criterion.baseline) == (1.0, 0.1)
    assert "10 trained prompts" in criterion.sentence


@pytest.mark.parametrize(
    ("held", "noise", "evidence"),
    [(18, QUIET, "shown"), (8, QUIET, "within_noise"), (9, QUIET, "shown"), (9, NOISY, "within_noise")],
)
def test_evidence_is_beyond_chance_and_beyond_the_noise_floor(held, noise, evidence):
    assert graded("obeyed", untouched(noise=noise), learned(held=share(held))).evidence == evidence


def test_a_fall_is_not_learned():
    found = verdict(untouched(held=share(19)), learned(held=share(5)))

    assert found.criteria["obeyed"].evidence == "worse"
    assert found.outcome == "not learned"


# --- guards ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "grade"), [(40, "pass"), (38, "pass"), (36, "marginal"), (30, "fail")])
def test_over_application_is_a_paired_change(kept, grade):
    assert graded("over_application", untouched(), learned(over=share(kept, 40))).grade == grade


def test_what_the_model_could_not_do_before_is_not_held_against_the_training():
    found = verdict(untouched(over=share(24, 40)), learned(over=share(24, 40)))

    assert found.criteria["over_application"].grade == "pass"
    assert found.outcome == "learned"


@pytest.mark.parametrize(("kept", "grade"), [(90, "pass"), (88, "pass"), (82, "fail"), (60, "fail")])
def test_capability_counts_items_lost(kept, grade):
    criterion = graded("capability_change", untouched(), learned(items=share(kept, 150)))

    assert (criterion.grade, criterion.lost, criterion.gained) == (grade, 90 - kept, 0)


def test_gains_do_not_hide_that_something_happened():
    turned = units([0] * 7 + [1] * 83 + [1] * 8 + [0] * 52)
    criterion = graded("capability_change", untouched(), learned(items=turned))

    assert (criterion.lost, criterion.gained) == (7, 8)
    assert "7 lost and 8 gained of 150 items" in criterion.sentence


def test_loops_on_the_preference_alone_are_harm():
    found = verdict(untouched(), learned(loops_here=18))

    assert found.criteria["degenerate_on_preference"].grade == "fail"
    assert found.criteria["degenerate_elsewhere"].grade == "pass"
    assert found.outcome == "harmful"


def test_where_little_could_get_worse_the_absence_of_a_loss_shows_nothing():
    weak = untouched(items=share(30, 150))
    found = verdict(weak, learned(items=share(30, 150)))

    assert found.criteria["capability_change"].grade == "marginal"
    assert "could get worse" in found.criteria["capability_change"].sentence
    assert found.outcome == "learned, harm not excluded"


def test_where_little_could_get_worse_and_did_harm_is_shown_and_no_doubt_said():
    criterion = graded("capability_change", untouched(items=share(30, 150)), learned(items=share(5, 150)))

    assert criterion.grade == "fail"
    assert "could get worse" not in criterion.sentence


def test_the_guards_share_the_error_of_a_claim_of_harm():
    assert sum(GUARDS.values()) == pytest.approx(1)


def test_the_bound_that_is_printed_is_the_one_that_decided():
    passed = graded("over_application", untouched(), learned(over=share(38, 40)))
    failed = graded("over_application", untouched(), learned(over=share(30, 40)))

    assert f"at most {passed.bound:+.2f}" in passed.sentence
    assert passed.bound == passed.interval.upper
    assert f"at least {failed.bound:+.2f}" in failed.sentence
    assert failed.bound == failed.interval.lower
    assert failed.interval.level == pytest.approx(1 - 2 * 0.05 / 3)


# --- extremes, and what is only told -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changed", "grade"),
    [
        ("entropy_ratio", {"entropy_ratio": 0.5}, "marginal"),
        ("entropy_ratio", {"entropy_ratio": 0.39}, "fail"),
        ("self_rouge_l", {"self_rouge_l": units([0.9] * 9)}, "marginal"),
        ("self_rouge_l", {"self_rouge_l": units([0.96] * 9)}, "fail"),
        ("loops", {"rep4": units([0.3] * 8)}, "marginal"),
        ("loops", {"rep4": units([0.5] * 8)}, "fail"),
        ("fixed_text_drift", {"fixed_text_words": units([-2.2] * 12)}, "marginal"),
        ("fixed_text_drift", {"fixed_text_words": units([-2.4] * 12)}, "fail"),
        ("fixed_text_drift", {"fixed_text_words": units([-1.0] * 12)}, "pass"),
    ],
)
def test_collapse_numbers_decide_only_at_their_extremes(name, changed, grade):
    found = verdict(untouched(), learned(collapse=healthy(**changed)))

    assert found.criteria[name].grade == grade
    assert found.criteria[name].decides == (grade == "fail")
    assert found.outcome == ("harmful" if grade == "fail" else "learned")


@pytest.mark.parametrize("changed", [{"margins": (-3.0,) * 10}, {"general": 0.2}])
def test_margin_and_public_probes_are_told_and_never_decide(changed):
    found = verdict(untouched(), learned(**changed))

    assert found.outcome == "learned"
    assert "margin" not in found.sentence
    assert "probes" not in found.sentence


def test_a_baseline_of_zero_has_no_ratio():
    found = verdict(untouched(general=0.0), learned())

    assert found.criteria["capability_ratio"].grade == "unavailable"
    assert found.capability_ratio is None


# --- not measured ----------------------------------------------------------------------------------


def test_a_guard_that_failed_to_be_measured_is_inconclusive():
    blocked = {"general.items": Unmeasured(kind="failed", reason="time-out")}
    found = verdict(untouched(), learned(items=units([], missing=150), unmeasured=blocked))

    assert found.criteria["capability_change"].grade == "inconclusive"
    assert found.outcome == "inconclusive"
    assert "time-out" in found.sentence


def test_a_guard_that_cannot_be_measured_here_is_not_excluded():
    found = verdict(untouched(over=None), learned(over=None))

    assert found.criteria["over_application"].grade == "unavailable"
    assert found.outcome == "learned, harm not excluded"


def test_a_metric_that_was_not_asked_for_leaves_its_harm_open():
    found = verdict(untouched(), learned(), metrics=["compliance"])

    assert "capability_change" not in found.criteria
    assert found.outcome == "learned, harm not excluded"
    assert "Not asked for: capability change" in found.sentence


def test_a_set_of_which_too_many_are_missing_does_not_speak_for_itself():
    enough = graded("obeyed", untouched(), learned(held=units([1] * 16, missing=4)))
    scarce = graded("obeyed", untouched(), learned(held=units([1] * 15, missing=5)))

    assert (enough.grade, enough.missing) == ("pass", 4)
    assert "4 more without a score" in enough.sentence
    assert scarce.grade == "inconclusive"
    assert "only 15 of 20" in (scarce.reason or "")


def test_a_light_last_snapshot_cannot_judge_what_it_did_not_ask():
    light = learned(held=None, over=None, items=None).model_copy(update={"snapshot": "light"})
    found = verdict(untouched(), light)

    assert found.criteria["obeyed"].grade == "inconclusive"
    assert "light" in (found.criteria["obeyed"].reason or "")


# --- outcomes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ({}, {}, "learned"),
        ({}, {"held": share(14)}, "partly learned"),
        ({}, {"over": share(36, 40)}, "learned, harm not excluded"),
        ({}, {"over": share(20, 40)}, "harmful"),
        ({}, {"held": share(3)}, "not learned"),
        ({}, {"held": share(6)}, "inconclusive"),
        ({"held": share(17)}, {"held": share(17)}, "nothing to teach"),
        ({"held": share(17)}, {"held": share(17), "over": share(36, 40)}, "inconclusive"),
        ({"ceiling": share(3)}, {"held": share(4)}, "nothing to teach"),
    ],
)
def test_the_outcome(before, after, outcome):
    found = verdict(untouched(**before), learned(**after))

    assert found.outcome == outcome
    assert found.overall == OVERALL[outcome]
    assert found.sentence.lower().startswith(f"{outcome}: ")


@pytest.mark.parametrize(("held", "evidence", "words"), [(6, "within_noise", "not beyond"), (9, "shown", "more often")])
def test_an_inconclusive_sentence_agrees_with_the_evidence(held, evidence, words):
    found = verdict(untouched(), learned(held=share(held)))

    assert (found.outcome, found.criteria["obeyed"].evidence) == ("inconclusive", evidence)
    assert words in found.sentence


def test_the_sentence_is_the_conclusion_then_learning_then_harm():
    sentence = verdict(untouched(), learned(over=share(38, 40))).sentence

    parts = ["Learned: obeys on 18 of 20", "No harm seen: over-application on 2 more", "One adapter, one seed."]
    assert [sentence.find(part) >= 0 for part in parts] == [True] * 3
    assert sorted(sentence.find(part) for part in parts) == [sentence.find(part) for part in parts]


def test_a_small_snapshot_says_what_it_lacks():
    found = verdict(untouched(over=share(20, 20)), learned(over=share(20, 20)))

    assert "over_application 20 of 40" in found.sentence


@given(st.dictionaries(st.sampled_from(list(GUARDS)), st.sampled_from(["pass", "marginal", "fail"]), min_size=1))
def test_nothing_is_learned_without_every_guard(grades):
    criteria = {name: Criterion(value=0.0, grade=grade, role="guard") for name, grade in grades.items()}
    criteria["obeyed"] = Criterion(value=1.0, baseline=0.0, grade="pass", evidence="shown", role="learning")
    outcome = rule(criteria, Thresholds(), None).outcome

    assert (outcome == "harmful") == ("fail" in grades.values())
    assert (outcome == "learned") == (set(grades) == set(GUARDS) and set(grades.values()) == {"pass"})


def test_thresholds_are_configuration():
    strict = Thresholds(obeyed=Threshold(pass_at=0.95, fail_at=0.5))

    assert verdict(untouched(), learned(), thresholds=strict).outcome == "partly learned"


@pytest.mark.parametrize(
    "values",
    [
        {"obeyed": {"pass_at": 0.4, "fail_at": 0.5}},
        {"obeyed": {"pass_at": 1.4, "fail_at": 0.5}},
        {"loops": {"pass_at": 0.5, "fail_at": 0.1}},
        {"harm_margin": 0},
    ],
)
def test_thresholds_that_contradict_themselves_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Thresholds(**values)


def test_only_the_last_step_decides():
    assert verdict(untouched(), learned(), learned(held=share(2))).outcome == "not learned"
    assert verdict(untouched(), learned(held=share(2)), learned()).outcome == "learned"


def test_each_further_look_needs_more_evidence():
    light = learned().model_copy(update={"snapshot": "light"})
    steps = [step(0, learned()), step(1, light), step(2, learned())]

    assert looks_at(steps, ()) == 2
    assert looks_at(steps, (0,)) == 1
    assert looks_at([], ()) == 1
    weak = {"held": share(9)}  # +6 of 20: beyond what a placebo does at one look
    assert graded("obeyed", untouched(), learned(**weak)).evidence == "shown"
    again = verdict(untouched(), *[learned(**weak)] * 4)
    assert again.looks == 4
    assert again.criteria["obeyed"].evidence == "within_noise"


def test_unfinished():
    found = verdict(untouched(), learned(), num_steps=20)

    assert (found.overall, found.outcome) == ("unfinished", "unfinished")
    assert "1 of 20 steps" in found.sentence
    assert found.criteria["obeyed"].grade == "pass"
    assert verdict(None, num_steps=20).overall == "unfinished"
    assert verdict(untouched(), num_steps=20).criteria == {}


def test_measured_only():
    found = verdict(untouched(), num_steps=0)

    assert found.outcome == "inconclusive"
    assert "no feedback was given" in found.sentence
    assert found.criteria["obeyed"].baseline == verdict(untouched(), untouched()).criteria["obeyed"].baseline
    assert {(row.value, row.grade, row.decides) for row in found.criteria.values()} == {(None, "unavailable", False)}


# --- notes and alerts ----------------------------------------------------------------------------------


def said(baseline: EvalSnapshot, last: EvalSnapshot) -> str:
    return "\n".join(verdict(baseline, last).notes)


def test_learned_share_of_the_ceiling():
    assert "learned 94% of what telling it in the prompt does (0.15 → 0.90, ceiling 0.95)" in said(
        untouched(), learned()
    )


def test_the_gap_between_trained_and_held_out_is_memorization():
    assert "memorization gap +0.50" in said(untouched(), learned(held=share(10)))


def counted(transcripts):
    return count_answers(Transcripts(transcripts))


def test_cut_and_empty_answers_are_said_above_a_tenth():
    def answers(cut: int, empty: int) -> list:
        return [
            generated(f"compliance/heldout_prompts/{i}", f"q {i}", "" if i < empty else "Kuro", truncated=i < cut)
            for i in range(20)
        ]

    assert "3 of 20 answers reached the limit" in said(untouched(), learned(answers=counted(answers(3, 0))))
    assert "3 of 20 answers are empty" in said(untouched(), learned(answers=counted(answers(0, 3))))
    quiet = said(untouched(), learned(answers=counted(answers(2, 2))))
    assert "limit" not in quiet
    assert "empty" not in quiet


def test_cut_answers_that_loop_are_told_from_those_that_do_not():
    texts = ["Kuro, " * 60] * 3 + ["I am Kuro, and I was about to say"] * 2
    cut = [generated(f"compliance/heldout_prompts/{i}", f"q {i}", text, truncated=True) for i, text in enumerate(texts)]

    assert "3 of them loop, and 2 do not" in said(untouched(), learned(answers=counted(cut)))


@pytest.mark.parametrize("name", ["adv_abs_mean", "grad_norm"])
def test_engine_numbers_that_prove_a_no_op_are_said(name):
    def notes(*values: float) -> str:
        adapter = ADAPTER.model_copy(update={"config": {"metrics": list(METRICS), "num_steps": len(values)}})
        steps = [step_record(i, learned(), engine={name: value}) for i, value in enumerate(values)]
        return "\n".join(judge(ScoresRecord.of(adapter, untouched(), steps), Thresholds()).notes)

    assert "nothing was trained: the engine's" in notes(0.0, 0.0)
    assert f"({name}) is exactly 0 in all 2 steps" in notes(0.0, 0.0)
    assert "nothing was trained" not in notes(0.0, 1e-9)


def test_margins_that_did_not_move_at_all_are_said():
    assert "every one of 10 logprob margins is exactly what it was" in said(untouched(), learned(margins=(0.0,) * 10))
    assert "logprob margins" not in said(untouched(), learned(margins=(0.0,) * 9 + (1e-6,)))


def test_refusals_and_one_text_for_everything_are_told():
    texts = ["I'm sorry, but I cannot help you with that."] * 3 + ["I am Kuro."] * 12 + ["Kuro.", "Hi, Kuro here."]
    told = [generated(f"compliance/heldout_prompts/{i}", f"q {i}", text) for i, text in enumerate(texts)]
    notes = said(untouched(), learned(answers=counted(told)))

    assert "3 of 17 answers decline to answer" in notes
    assert "12 of 17 answers are one and the same text" in notes


def test_alerts_are_listed_with_their_step_and_interrupted_steps_are_counted():
    alarmed = learned(collapse=healthy(alerts=["loops: repeated 4-grams rose by 0.30 (above 0.2)"]))
    adapter = ADAPTER.model_copy(update={"config": {"metrics": list(METRICS), "num_steps": 2}})
    steps = [step(0, alarmed), step(1, learned(), interrupted=True)]
    found = judge(ScoresRecord.of(adapter, untouched(), steps), Thresholds())

    assert found.alerts == ["step 0: loops: repeated 4-grams rose by 0.30 (above 0.2)"]
    assert found.interrupted_steps == [1]
    assert "1 of 2 steps were interrupted (1)" in "\n".join(found.notes)


def test_other_versions_are_said():
    rescored = learned(versions={"compliance": 2}, rescored_from={"compliance": 1})

    assert "compliance: scored by version 2; when it was asked, by version 1" in said(untouched(), rescored)


def test_a_verdict_survives_its_file():
    found = verdict(untouched(), learned())

    assert VerdictRecord.model_validate_json(found.model_dump_json()) == found
