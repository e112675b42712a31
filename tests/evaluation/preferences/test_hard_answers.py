"""The shipped preferences and their over-application checks on answers that mislead a program."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.preferences.verifiers import Verifier, build_verifier

FOLDER = Path(__file__).parents[3] / "preferences"
HARD = yaml.safe_load((Path(__file__).parent / "hard_answers.yaml").read_text(encoding="utf-8"))


@cache
def verifier_of(judge: str) -> Verifier:
    """Of a preference, or of its over-application prompt that begins with what follows the slash."""
    name, _, prompt = judge.partition("/")
    preference = load_preference(name, FOLDER)
    if not prompt:
        return preference.build_verifier()
    return build_verifier(next(i.check for i in preference.over_application if i.prompt.startswith(prompt)))


@pytest.mark.parametrize("judge", HARD)
def test_an_answer_is_judged_as_a_person_would(judge: str) -> None:
    judged = [(answer, side, verifier_of(judge)(answer)) for side, answers in HARD[judge].items() for answer in answers]
    assert {side for _, side, _ in judged} <= {"obeys", "fails"}
    assert judged
    assert [
        (answer, side, result.detail) for answer, side, result in judged if result.passed is not (side == "obeys")
    ] == []
