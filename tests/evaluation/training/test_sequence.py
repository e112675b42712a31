"""A sequence on one adapter: whose each step is, what is measured when, resume, and equal numbers from the files."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.preferences.sequence import Phase, PreferenceSequence, controlled
from claas_assets.evaluation.runs.results import score
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.training.cost import cost_of
from claas_assets.evaluation.verdict.ruling import judge
from tests.synthetic.transcripts import preference

KURO = preference(held_out=6, pairs=4, trained=4)
CONCISE = KURO.model_copy(
    update={
        "name": "concise",
        "feedback_string": "Be concise",
        "verifier": {"_target_": "MaxWords", "count": 12},
        "probe_prompts": tuple(f"Explain why the sky is blue, for reader {i}." for i in range(4)),
        "heldout_prompts": tuple(f"Describe how bread is made, for reader {i}." for i in range(6)),
        "over_application": (),
    }
)


def sequence(*phases, schedule="sequential", **changes):
    """`("identity", 2)`, …: phases of the two preferences above."""
    known = {"identity": KURO, "concise": CONCISE}
    made = tuple(Phase(preference=name, steps=steps) for name, steps in phases)
    return PreferenceSequence("onboarding", made, {n: known[n] for n, _ in phases}, schedule, **changes)


TWO = sequence(("identity", 2), ("concise", 2))


@pytest.fixture
def trained(training):
    """`trained(TWO)`: not run yet."""

    def make(asked=TWO, **changes):
        made = training(metrics=["logprob", "compliance"], **changes)
        made.folder, made.sequence = made.folder.parent / "onboarding", asked
        return made

    return make


def turns(asked, num_steps=2):
    return [(turn.phase, turn.preference.name, turn.step, turn.ends_phase) for turn in asked.turns(num_steps)]


def test_phases_follow_each_other_or_take_turns_and_a_preference_alone_has_one():
    assert turns(TWO) == [
        (1, "identity", 0, False), (1, "identity", 1, True), (2, "concise", 0, False), (2, "concise", 1, True),
    ]  # fmt: skip
    by_turns = sequence(("identity", 2), ("concise", 1), schedule="interleaved")
    assert turns(by_turns) == [(1, "identity", 0, False), (2, "concise", 0, True), (1, "identity", 1, True)]
    assert turns(PreferenceSequence.of(KURO), 1) == [(1, "identity", 0, True)]
    assert turns(sequence(("identity", None), ("concise", 1)), 3)[2] == (1, "identity", 2, True)
    assert turns(TWO, 0) == [], "num_steps=0 measures only"


def test_every_boundary_measures_all_preferences_and_every_step_the_trained_prompts_of_all(trained):
    made = trained()
    made.run()
    assert [(s["preference"], s["phase"], s["eval"]["snapshot"]) for s in made.steps] == [
        ("identity", 1, "light"), ("identity", 1, "full"), ("concise", 2, "light"), ("concise", 2, "full"),
    ]  # fmt: skip
    assert [s["feedback_given"] for s in made.steps] == ["Your name is Kuro."] * 2 + ["Be concise"] * 2
    assert sorted(p.name for p in made.folder.iterdir()) == [".lock", "baseline.json", "metadata.json", "steps.jsonl"]
    sets = [
        s["eval"]["beside"][other]["stats"]["compliance"]["sets"]
        for s, other in zip(made.steps, ["concise", "concise", "identity", "identity"], strict=True)
    ]
    assert [sorted(found) for found in sets] == [
        ["probe_prompts"], ["heldout_prompts", "probe_prompts"],
        ["probe_prompts"], ["heldout_prompts", "over_application", "probe_prompts"],
    ]  # fmt: skip
    baseline = json.loads((made.folder / "baseline.json").read_text("utf-8"))
    assert set(baseline["beside"]["concise"]["stats"]["compliance"]["sets"]) >= {"ceiling", "heldout_prompts"}
    assert not [t for t in baseline["beside"]["concise"]["rollouts"] if "@" in t["metadata"]["key"]]


def test_what_is_asked_is_what_was_said_and_nothing_is_asked_again(trained):
    made = trained()
    said = cost_of(made.context().config, TWO)
    for _ in range(2):
        made.run()
        asked = [made.fake.log.count(path) for path in ("/v1/chat/completions", "/v1/score", "/v1/feedback")]
        assert asked == [said.chats, said.scores, said.feedback]


def test_it_goes_on_in_the_middle_of_a_phase(trained):
    made = trained()
    made.run()
    lines = (made.folder / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (made.folder / "steps.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    made.run()
    assert (made.folder / "steps.jsonl").read_bytes().splitlines(keepends=True)[:3] == lines[:3]
    assert [(s["step"], s["phase"], s["preference"]) for s in made.steps[2:]] == [(2, 2, "concise"), (3, 2, "concise")]
    assert made.fake.log.count("/v1/feedback") == 5


def test_phases_may_not_change_once_the_adapter_is_there(trained):
    made = trained()
    made.run()
    made.sequence = sequence(("identity", 2), ("concise", 3))
    with pytest.raises(RunFolderError, match="phases"):
        made.run()


def test_the_files_give_the_numbers_of_the_lines_again_and_the_verdict_names_each_preference(trained):
    made = trained()
    made.run()
    training = PreferenceFolder(made.folder).training()
    scores = score(training, TWO)
    assert scores == training.as_scored().model_copy(update={"steps": scores.steps, "baseline": scores.baseline})
    for inline, again in zip(training.steps, scores.steps, strict=True):
        assert inline.eval.of("identity").stats == again.eval.of("identity").stats
        assert inline.eval.of("concise").stats == again.eval.of("concise").stats
    found = judge(scores, Thresholds())
    assert list(found.criteria)[:3] == ["learned.identity", "learned.concise", "retained.identity"]
    assert [row.phase for row in found.retention.rows] == [0, 1, 2]
    assert [row.trained for row in found.retention.rows] == [None, "identity", "concise"]
    assert found.retention.numbers["identity"].retention is not None
    assert found.retention.numbers["concise"].retention is None, "nothing was trained after it"


def test_a_control_run_gives_other_feedback_and_never_reads_as_learned(trained, tmp_path):
    made = trained(controlled(TWO, "placebo", tmp_path), control="placebo")
    made.run()
    assert {s["feedback_given"] for s in made.steps} == {"Thank you for your answer"}
    scores = score(PreferenceFolder(made.folder).training(), TWO)
    found = judge(scores, Thresholds())
    assert (found.outcome, found.overall, found.control) == ("control", "inconclusive", "placebo")
    assert "placebo" in found.sentence
