"""compliance: sets, ceiling, noise floor, and what happens to answers that cannot be verified."""

from __future__ import annotations

import random

import pytest

from claas_assets.evaluation.metrics.compliance import ComplianceMetric
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.verifiers import VerifierResult
from claas_assets.evaluation.storage.records import EvalSnapshot, Transcript, Unmeasured
from claas_assets.evaluation.verdict.measurements import BeforeAfter, obeyed
from tests.synthetic import transcripts as synthetic
from tests.synthetic.transcripts import Asking, generated

ASKED = synthetic.preference(held_out=6)
METRIC = ComplianceMetric()


class Moody:
    """A user's own verifier that fails at some answers."""

    def __call__(self, response: str) -> VerifierResult:
        if "boom" in response:
            raise RuntimeError("no idea")
        return VerifierResult(True, 7.0 if "seven" in response else 0.5, "half")


def plan(size="full", step=-1, asked=ASKED) -> ProbePlan:
    return ProbePlan(asked, size, step=step, collapse_due=False, seed=1, max_tokens=64)


def keys(**arguments) -> list[str]:
    return [probe.key for probe in METRIC.probes(plan(**arguments))]


def groups(found: list[str]) -> dict[str, int]:
    names = [key.split("/")[1] for key in found]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def scored(transcripts: list[Transcript], asked: Preference = ASKED) -> EvalSnapshot:
    return score_snapshot(transcripts, ScoringContext(asked, None), size="full", metrics=["compliance"])


def answers(held: list[str], again: list[str] | None = None) -> list[Transcript]:
    found = [generated(f"compliance/heldout_prompts/{i}", ASKED.heldout_prompts[i], a) for i, a in enumerate(held)]
    found += [generated("compliance/probe_prompts/0", ASKED.probe_prompts[0], "Kuro")]
    return found + [generated(f"compliance/noise/{i}", ASKED.heldout_prompts[i], a) for i, a in enumerate(again or [])]


def test_what_is_asked_when():
    assert groups(keys(size="light", step=4)) == {"probe_prompts": 10}
    assert groups(keys(step=19)) == {"probe_prompts": 10, "heldout_prompts": 6, "over_application": 10}
    assert groups(keys()) == {
        "probe_prompts": 10,
        "heldout_prompts": 6,
        "over_application": 10,
        "ceiling": 6,
        "noise": 6,
    }


def test_without_held_out_prompts_ceiling_and_noise_are_on_the_trained_ones():
    bare = ASKED.model_copy(update={"heldout_prompts": ()})

    assert groups(keys(asked=bare)) == {"probe_prompts": 10, "over_application": 10, "ceiling": 10, "noise": 10}


def test_the_ceiling_is_told_in_the_user_turn():
    probe = next(probe for probe in METRIC.probes(plan()) if probe.key == "compliance/ceiling/2")

    ((role, content),) = probe.messages
    assert role == "user"
    assert content.startswith(ASKED.heldout_prompts[2])
    assert content.endswith(ASKED.feedback_string)


def test_each_set_has_its_mean_interval_and_reasons():
    chance = random.Random(1)
    truth = {prompt: i % 2 == 0 for i, prompt in enumerate(synthetic.all_prompts(ASKED))}
    snapshot = scored(synthetic.compliance(ASKED, truth, Asking(chance, 0.0), baseline=True, over_applied=1.0))

    assert snapshot.preference_compliance == 0.5
    assert snapshot.stats.compliance is not None
    sets = snapshot.stats.compliance.sets
    assert sets["heldout_prompts"].mean == 0.5
    assert sets["heldout_prompts"].interval is not None
    assert sets["over_application"].mean == 0  # the name in every answer where it has no place
    assert set(sets) == {"probe_prompts", "heldout_prompts", "over_application", "ceiling"}
    assert "not introduced" in sets["heldout_prompts"].details[ASKED.heldout_prompts[1]]
    assert snapshot.stats.compliance.noise is not None
    assert snapshot.stats.compliance.noise.deterministic


def test_a_prompt_that_the_preference_file_no_longer_has_is_missing_with_the_reason():
    item = ASKED.over_application[0]
    transcripts = [
        generated("compliance/over_application/0", item.prompt, "Nobody knows."),
        generated("compliance/over_application/1", "An older prompt", "Nobody knows."),
    ]

    stats = scored(transcripts).stats.compliance

    assert stats is not None
    assert stats.sets["over_application"].scores == {item.prompt: 1.0}
    assert "no over_application check" in stats.sets["over_application"].missing["An older prompt"]


def test_flips_between_the_two_askings_are_the_noise():
    noise = scored(answers(["Kuro", "Kuro", "no", "no"], ["Kuro", "no", "no", "Kuro"])).stats.compliance.noise

    assert noise.flip_rate == 0.5
    assert noise.sigma2 == 0.25
    assert not noise.deterministic


def test_other_words_of_the_same_score_are_not_deterministic():
    noise = scored(answers(["Kuro", "no"], ["I am Kuro", "no"])).stats.compliance.noise

    assert noise.flip_rate == 0
    assert not noise.deterministic


def test_a_failed_request_is_in_no_mean_and_in_no_noise():
    transcripts = answers(["Kuro", "no", "Kuro", "no", "Kuro"], ["Kuro", "no", "Kuro", "no", "Kuro"])
    error = Unmeasured(kind="failed", reason="timeout")
    lost = transcripts[1].metadata.model_copy(update={"error": error})
    transcripts[1] = transcripts[1].model_copy(update={"metadata": lost})

    stats = scored(transcripts).stats.compliance

    assert stats.sets["heldout_prompts"].n == 4
    assert stats.sets["heldout_prompts"].mean == 0.75
    assert list(stats.sets["heldout_prompts"].missing.values()) == ["timeout"]
    assert stats.noise.n == 4


def test_nothing_answered_is_null_with_the_reason():
    error = Unmeasured(kind="unavailable", reason="the sampler serves another adapter")
    transcript = generated("compliance/probe_prompts/0", ASKED.probe_prompts[0], "")
    metadata = transcript.metadata.model_copy(update={"error": error})
    snapshot = scored([transcript.model_copy(update={"metadata": metadata, "messages": transcript.messages[:1]})])

    assert snapshot.preference_compliance is None
    assert snapshot.unmeasured["preference_compliance"] == error


@pytest.mark.parametrize(
    ("answer", "reason"), [("boom", "Moody raised RuntimeError: no idea"), ("seven", "not between 0 and 1")]
)
def test_a_broken_verifier_loses_its_answer_not_the_run(answer, reason):
    asked = ASKED.model_copy(update={"verifier": {"_target_": f"{__name__}.Moody"}})
    prompts = enumerate(ASKED.probe_prompts[:5])
    transcripts = [generated(f"compliance/probe_prompts/{i}", p, "fine" if i else answer) for i, p in prompts]

    snapshot = scored(transcripts, asked)

    assert snapshot.preference_compliance == 0.5
    assert reason in snapshot.stats.compliance.sets["probe_prompts"].missing[ASKED.probe_prompts[0]]


def test_cut_answers_are_counted():
    cut = generated("compliance/probe_prompts/0", ASKED.probe_prompts[0], "Kuro and so", truncated=True)

    assert scored([cut]).stats.compliance.sets["probe_prompts"].truncated == 1


def test_paraphrases_of_one_prompt_are_one_unit():
    """Five held-out prompts ask the same: all five obeying is one unit that rose, not five."""
    family = ASKED.heldout_prompts[:5]
    told = ASKED.model_copy(update={"paraphrases": (family,)})
    before, after = ["I am an assistant."] * 6, ["I am Kuro."] * 5 + ["I am an assistant."]
    first, last = (
        score_snapshot(answers(said), ScoringContext(told, None), size="full", metrics=["compliance"])
        for said in (before, after)
    )
    units = last.stats.compliance.sets["heldout_prompts"]
    measured = obeyed(BeforeAfter(first, last))

    assert (units.n, units.mean, len(units.scores)) == (2, 0.5, 6)
    assert (measured.n, measured.value, measured.change, measured.gained) == (2, 0.5, 0.5, 1)
    assert measured.interval is None
    assert last.stats.degenerate.on_preference.n == 3  # the family, the sixth prompt, and a trained one


def test_the_prompt_said_back_does_not_obey():
    prompt = "Tell me a story."
    asked = ASKED.model_copy(
        update={"heldout_prompts": (prompt,), "verifier": {"_target_": "NoEmojiVerifier"}, "paraphrases": ()}
    )
    said = [generated("compliance/heldout_prompts/0", prompt, "tell me a story!")]
    units = scored(said, asked).stats.compliance.sets["heldout_prompts"]

    assert (units.passed, units.obeyed) == ({prompt: True}, {prompt: False})
