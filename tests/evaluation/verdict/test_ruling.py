"""The verdict: grades at their bounds, evidence, the overall rule, and the words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.config import METRICS, Threshold, Thresholds
from claas_assets.evaluation.storage.records import (
    CollapseStats,
    ComplianceStats,
    Criterion,
    EvalSnapshot,
    GeneralScores,
    GeneralStats,
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
from claas_assets.evaluation.verdict.ruling import judge, overall_of
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
        "fixed_text": units([-2.0] * 12),
    }
    return CollapseStats(**{**values, **changed})


QUIET = NoiseFloor(n=20, flip_rate=0.0, sigma2=0.0, mean_difference=0.0, deterministic=True)
NOISY = NoiseFloor(n=20, flip_rate=0.5, sigma2=0.25, mean_difference=0.0, deterministic=False)


def untouched(**changed) -> EvalSnapshot:
    defaults = {
        "held": share(3), "trained": share(1, 10), "over": share(10, 10), "ceiling": share(19), "noise": QUIET,
        "items": share(30, 48),
    }  # fmt: skip
    return snapshot(**{**defaults, **changed})


def learned(**changed) -> EvalSnapshot:
    defaults = {
        "held": share(18), "trained": share(10, 10), "over": share(10, 10), "items": share(30, 48),
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


# --- the criteria --------------------------------------------------------------------------------


def test_criteria_are_the_thresholds():
    assert [rule.name for rule in RULES] == list(Thresholds.model_fields)
    assert list(verdict(untouched(), learned()).criteria) == list(Thresholds.model_fields)


def test_the_criterion_says_it_in_words():
    found = graded("compliance", untouched(noise=None), learned())

    assert found.sentence == ("compliance 0.15 → 0.90 (+0.75, 95 % 0.45…0.91, n = 20 held out, floor unknown): shown")
    assert (found.value, found.baseline, found.n) == (0.9, 0.15, 20)
    assert found.threshold == {"pass_at": 0.8, "fail_at": 0.5}


@pytest.mark.parametrize(
    ("passed", "grade"), [(20, "pass"), (16, "pass"), (15, "marginal"), (10, "marginal"), (9, "fail")]
)
def test_compliance_is_graded_by_where_it_stands(passed, grade):
    assert graded("compliance", untouched(), learned(held=share(passed))).grade == grade


def test_without_held_out_prompts_the_trained_ones_decide():
    found = graded("compliance", untouched(held=None), learned(held=None))

    assert (found.value, found.baseline) == (1.0, 0.1)
    assert "n = 10 trained prompts" in found.sentence


@pytest.mark.parametrize(
    ("held", "noise", "evidence"),
    [(18, QUIET, "shown"), (4, QUIET, "within_noise"), (8, QUIET, "shown"), (8, NOISY, "within_noise")],
)
def test_evidence_is_beyond_chance_and_beyond_the_noise_floor(held, noise, evidence):
    assert graded("compliance", untouched(noise=noise), learned(held=share(held))).evidence == evidence


def test_a_fall_is_worse():
    assert graded("compliance", untouched(held=share(19)), learned(held=share(5))).evidence == "worse"


@pytest.mark.parametrize(
    ("rise", "grade"), [(2.1, "pass"), (2.0, "marginal"), (0.5, "marginal"), (0.4, "fail"), (-3.0, "fail")]
)
def test_margin(rise, grade):
    found = graded("logprob_margin", untouched(), learned(margins=(rise,) * 10))

    assert found.grade == grade
    assert found.change == pytest.approx(rise)
    assert found.interval is not None
    assert found.interval.method == "student-t"


@pytest.mark.parametrize(("score", "grade"), [(1.0, "pass"), (0.9, "marginal"), (0.7, "marginal"), (0.6, "fail")])
def test_the_ratio_of_four_is_graded_and_does_not_decide_beside_the_items(score, grade):
    found = graded("capability_ratio", untouched(), learned(general=score))

    assert found.grade == grade
    assert not found.decides
    assert graded("capability_ratio", untouched(items=None), learned(items=None, general=score)).decides


def test_a_baseline_of_zero_has_no_ratio():
    found = verdict(untouched(general=0.0), learned())

    assert found.criteria["capability_ratio"].grade == "unavailable"
    assert found.capability_ratio is None


@pytest.mark.parametrize(
    ("kept", "grade", "evidence"),
    [(30, "pass", "within_noise"), (29, "pass", "within_noise"), (26, "marginal", "worse"), (20, "fail", "worse")],
)
def test_a_capability_loss_needs_its_interval(kept, grade, evidence):
    found = graded("capability_change", untouched(), learned(items=share(kept, 48)))

    assert (found.grade, found.evidence) == (grade, evidence)
    assert found.interval is not None
    assert found.interval.level == 0.9


def test_a_weak_baseline_cannot_pass_but_can_fail():
    weak = untouched(items=share(12, 48))

    assert graded("capability_change", weak, learned(items=share(12, 48))).grade == "unavailable"
    assert "too weak to show a loss" in graded("capability_change", weak, learned(items=share(12, 48))).sentence
    assert graded("capability_change", weak, learned(items=share(0, 48))).grade == "fail"


@pytest.mark.parametrize(
    ("name", "changed", "grade"),
    [
        ("entropy_ratio", {"entropy_ratio": 0.61}, "pass"),
        ("entropy_ratio", {"entropy_ratio": 0.5}, "marginal"),
        ("entropy_ratio", {"entropy_ratio": 0.39}, "fail"),
        ("self_rouge_l", {"self_rouge_l": units([0.84] * 9)}, "pass"),
        ("self_rouge_l", {"self_rouge_l": units([0.9] * 9)}, "marginal"),
        ("self_rouge_l", {"self_rouge_l": units([0.96] * 9)}, "fail"),
        ("loops", {"rep4": units([0.1] * 8)}, "pass"),
        ("loops", {"rep4": units([0.2] * 8)}, "marginal"),
        ("loops", {"rep4": units([0.3] * 8)}, "fail"),
        ("fixed_text_drift", {"fixed_text": units([-2.1] * 12)}, "pass"),
        ("fixed_text_drift", {"fixed_text": units([-2.2] * 12)}, "marginal"),
        ("fixed_text_drift", {"fixed_text": units([-1.6] * 12)}, "fail"),
    ],
)
def test_collapse_grades(name, changed, grade):
    assert graded(name, untouched(), learned(collapse=healthy(**changed))).grade == grade


@pytest.mark.parametrize(
    ("before", "after", "grade"), [(10, 9, "pass"), (10, 8, "marginal"), (10, 6, "fail"), (6, 6, "marginal")]
)
def test_over_application_fails_only_where_training_raised_it(before, after, grade):
    found = graded("over_application", untouched(over=share(before, 10)), learned(over=share(after, 10)))

    assert found.grade == grade
    assert found.value == pytest.approx(1 - after / 10)


# --- not measured ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "grade"), [("failed", "inconclusive"), ("unavailable", "unavailable")])
def test_what_is_missing_is_inconclusive_or_left_out(kind, grade):
    blind = learned(
        collapse=healthy(entropy=None, entropy_ratio=None),
        unmeasured={"collapse.entropy_ratio_to_baseline": Unmeasured(kind=kind, reason="no logprobs here")},
    )
    found = verdict(untouched(), blind)

    assert found.criteria["entropy_ratio"].grade == grade
    assert found.criteria["entropy_ratio"].value is None
    assert "no logprobs here" in (found.criteria["entropy_ratio"].reason or "")
    assert found.overall == ("inconclusive" if kind == "failed" else "pass")


def test_items_that_could_not_be_asked_are_left_out():
    blocked = {"general.items": Unmeasured(kind="unavailable", reason="the sampler serves another run")}
    found = verdict(untouched(items=units([], missing=48), unmeasured=blocked), learned())

    assert found.criteria["capability_change"].grade == "unavailable"
    assert "in the baseline: the sampler serves another run" in (found.criteria["capability_change"].reason or "")


def test_a_set_of_which_too_many_are_missing_does_not_speak_for_itself():
    few = graded("compliance", untouched(), learned(held=share(18).model_copy(update={"missing": {"a": "timeout"}})))
    many = graded("compliance", untouched(), learned(held=units([1] * 16, missing=4)))
    found = graded("compliance", untouched(), learned(held=units([1] * 15, missing=5)))

    assert few.grade == "pass"
    assert many.grade == "pass"
    assert found.grade == "inconclusive"
    assert "only 15 of 20" in (found.reason or "")
    assert "timeout" in (found.reason or "")


def test_no_over_application_prompts_is_unavailable():
    assert graded("over_application", untouched(over=None), learned(over=None)).grade == "unavailable"


def test_a_light_last_snapshot_cannot_judge_what_it_did_not_ask():
    light = learned(held=None, over=None, items=None).model_copy(update={"snapshot": "light"})
    found = verdict(untouched(), light)

    assert found.criteria["compliance"].grade == "inconclusive"
    assert "light" in (found.criteria["compliance"].reason or "")


def test_a_metric_that_was_not_asked_for_has_no_criteria():
    assert list(verdict(untouched(), learned(), metrics=["logprob"]).criteria) == ["logprob_margin"]


# --- overall -----------------------------------------------------------------------------------------


def test_learned_and_healthy_passes():
    found = verdict(untouched(), learned())

    assert found.overall == "pass"
    assert found.final_compliance == 1.0
    assert found.logprob_margin_delta == pytest.approx(10.0)
    assert found.sentence.startswith("pass: it learned the preference")
    assert "After 1 feedback step (4 gradient updates), compliance 0.15 → 0.90" in found.sentence


@pytest.mark.parametrize(
    ("changed", "overall"),
    [
        ({"items": share(20, 48), "held": share(14)}, "fail"),
        ({"held": share(14)}, "marginal"),
        ({"collapse": healthy(rep4=None), "held": share(14)}, "inconclusive"),
        ({"general": 0.5}, "pass"),  # the ratio of four does not decide
    ],
)
def test_the_worst_criterion_decides(changed, overall):
    assert verdict(untouched(), learned(**changed)).overall == overall


def test_a_change_within_noise_is_inconclusive_even_where_everything_passes():
    found = verdict(untouched(held=share(15)), learned(held=share(16)))

    assert found.overall == "inconclusive"
    assert "not beyond noise" in found.sentence


def test_no_headroom_passes_and_says_what_that_means():
    found = verdict(untouched(held=share(16)), learned(held=share(17)))

    assert found.overall == "pass"
    assert "no headroom" in found.sentence
    assert "not that anything was learned" in found.sentence


def test_a_margin_alone_is_never_a_pass():
    found = verdict(untouched(), learned(), metrics=["logprob"])

    assert found.criteria["logprob_margin"].grade == "pass"
    assert found.overall == "inconclusive"


@given(st.dictionaries(st.sampled_from(list(Thresholds.model_fields)), st.sampled_from(
    ["pass", "marginal", "fail", "inconclusive", "unavailable"])))  # fmt: skip
def test_overall_is_never_better_than_its_worst_criterion(grades):
    criteria = {name: Criterion(value=1.0, grade=grade, evidence="shown") for name, grade in grades.items()}
    overall = overall_of(criteria, Thresholds()).overall

    for worst in ("fail", "inconclusive", "marginal"):
        if worst in grades.values():
            assert overall == worst
            return
    assert overall == ("pass" if "compliance" in grades else "inconclusive")


def test_thresholds_are_configuration():
    strict = Thresholds(compliance=Threshold(pass_at=0.95, fail_at=0.92))

    assert verdict(untouched(), learned(), thresholds=strict).overall == "fail"


def test_only_the_last_step_decides():
    assert verdict(untouched(), learned(), learned(held=share(2))).overall == "fail"
    assert verdict(untouched(), learned(held=share(2)), learned()).overall == "pass"


def test_unfinished():
    found = verdict(untouched(), learned(), num_steps=20)

    assert found.overall == "unfinished"
    assert "1 of 20 steps" in found.sentence
    assert found.criteria["compliance"].grade == "pass"
    assert verdict(None, num_steps=20).overall == "unfinished"
    assert verdict(untouched(), num_steps=20).criteria == {}


def test_measured_only():
    found = verdict(untouched(), num_steps=0)

    assert found.overall == "inconclusive"
    assert "no feedback was given" in found.sentence
    assert found.criteria == {}


# --- notes and alerts ----------------------------------------------------------------------------------


def said(baseline: EvalSnapshot, last: EvalSnapshot) -> str:
    return "\n".join(verdict(baseline, last).notes)


def test_learned_share_of_the_ceiling():
    assert "learned 94% of what telling it in the prompt does (0.15 → 0.90, ceiling 0.95)" in said(
        untouched(), learned()
    )


def test_a_ceiling_no_higher_than_the_baseline_is_nothing_to_teach():
    assert "nothing to teach" in said(untouched(ceiling=share(3)), learned())


def test_the_gap_between_trained_and_held_out_is_memorization():
    assert "memorization gap +0.50 (trained prompts 1.00, held out 0.50)" in said(untouched(), learned(held=share(10)))


def test_cut_and_empty_answers_are_said_above_a_tenth():
    def answers(cut: int, empty: int) -> list:
        return [
            generated(f"compliance/heldout_prompts/{i}", f"q {i}", "" if i < empty else "Kuro", truncated=i < cut)
            for i in range(20)
        ]

    assert "3 of 20 answers reached the token limit" in said(untouched(), learned(rollouts=answers(3, 0)))
    assert "3 of 20 answers are empty" in said(untouched(), learned(rollouts=answers(0, 3)))
    quiet = said(untouched(), learned(rollouts=answers(2, 2)))
    assert "token limit" not in quiet
    assert "empty" not in quiet


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
