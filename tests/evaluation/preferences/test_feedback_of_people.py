"""docs/preferences.md: feedback that people send, each a file with a shipped verifier that judges as it should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claas_assets.evaluation.preferences.checking import faults_of
from claas_assets.evaluation.preferences.draft import Draft
from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.preferences.suggest import verifiers_for
from claas_assets.evaluation.preferences.verifiers import build_verifier

PAGE = Path(__file__).parents[3] / "docs" / "preferences.md"


class Row(NamedTuple):
    feedback: str
    verifier: str
    obeys: str
    violates: str


def rows() -> list[Row]:
    table = PAGE.read_text(encoding="utf-8").split("<!-- table of feedback", 1)[1].split("\n\n", 2)[1]
    lines = [line.strip().removeprefix("| ").removesuffix(" |") for line in table.splitlines()[2:]]
    return [Row(*(part.strip().replace("⏎", "\n") for part in re.split(r" \|(?: |$)", line))) for line in lines]


JUDGED = "Be warmer."


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.feedback)
def test_each_feedback_is_a_file_that_new_writes_with_that_verifier(row: Row, tmp_path: Path) -> None:
    path = Draft("mine", [row.feedback]).write(tmp_path)
    preference = load_preference("mine", tmp_path)
    assert preference.feedback_string == row.feedback
    assert preference.verifier == yaml.safe_load(row.verifier.strip("`"))
    assert faults_of(preference) == []
    assert path.read_text(encoding="utf-8").count("_target_: JudgeVerifier") == 1


@pytest.mark.parametrize("row", [row for row in rows() if row.feedback != JUDGED], ids=lambda row: row.feedback)
def test_its_verifier_accepts_what_obeys_and_refuses_what_does_not(row: Row) -> None:
    built = build_verifier(verifiers_for(row.feedback)[0])
    assert built(row.obeys).passed, built(row.obeys).detail
    assert not built(row.violates).passed, built(row.violates).detail


@settings(deadline=None)
@example(wordings=["0\x85"])
@example(wordings=["a\u2028b", "c\u2029"])
@given(st.lists(st.text(min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=3))
def test_whatever_a_user_says_is_a_file_that_says_the_same(tmp_path_factory, wordings: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    Draft("mine", wordings, prompts=wordings * 10, source="a\nb", policy="when_violated").write(folder)
    preference = load_preference("mine", folder)
    assert preference.feedback_string == wordings[0]
    assert preference.feedback_strings == (tuple(wordings) if len(wordings) > 1 else ())
    assert preference.feedback_policy == "when_violated"


@pytest.mark.parametrize(
    "feedback", ["no " * 50_000, "don't ask " + "x" * 100_000, '"' * 100_000, "never end. " * 9_000]
)
def test_feedback_of_any_length_is_read_in_bounded_time(feedback: str) -> None:
    assert len(str(verifiers_for(feedback))) < 20_000


def test_the_table_has_what_was_collected() -> None:
    assert len(rows()) >= 20
    assert len({row.feedback for row in rows()}) == len(rows())


@pytest.mark.parametrize("feedback", ["I like it", "", "12", "((((", "Sprich mit mir", "”\"'“"])
def test_what_suggests_no_program_is_for_a_judge(feedback: str) -> None:
    assert [spec["_target_"] for spec in verifiers_for(feedback)] == ["JudgeVerifier"]


def test_a_judge_alone_comes_with_how_it_is_calibrated_and_no_empty_list(tmp_path: Path) -> None:
    text = Draft("warmer", ["Be warmer"]).write(tmp_path).read_text()
    assert "# calibration: [...]" in text
    assert "Others that fit" not in text
    assert "Others that fit" in Draft("plain", ["No bold, no headings"]).write(tmp_path).read_text()
