"""A sequence file is told from a preference's, read with the preferences that it names, and refused with its key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from claas_assets.evaluation.errors import ConfigError, PreferenceError
from claas_assets.evaluation.preferences.preference import load_preference, partition_names, preference_names
from claas_assets.evaluation.preferences.sequence import PLACEBO, controlled, files_of, load_sequence
from claas_assets.evaluation.verdict.versions import preference_file_version

SHIPPED = Path(__file__).parents[3] / "preferences"


@pytest.fixture
def folder(tmp_path):
    """With two preferences; a test writes the sequence."""
    for name in ("identity", "renamed"):
        shutil.copy(SHIPPED / f"{name}.yaml", tmp_path)
    return tmp_path


def write(folder, phases, name="course", more=""):
    (folder / f"{name}.yaml").write_text(f"name: course\nphases:\n{phases}{more}", encoding="utf-8")
    return folder


def test_the_shipped_sequences():
    onboarding, flip = (load_sequence(name, SHIPPED) for name in ("onboarding", "flip"))
    assert list(onboarding.preferences) == ["identity", "concise", "no_emoji"]
    assert onboarding.lengths(20) == [8, 8, 8]
    assert flip.record(20).opposes == {"renamed": "identity"}


def test_a_sequence_is_a_partition_and_no_preference(folder):
    write(folder, "  - {preference: identity}\n  - {preference: renamed, steps: 3}\n")
    assert partition_names(folder) == ["course", "identity", "renamed"]
    assert preference_names(folder) == ["identity", "renamed"]
    found = load_sequence("course", folder)
    assert found.lengths(5) == [5, 3]
    assert load_sequence("identity", folder).first == load_preference("identity", folder)


@pytest.mark.parametrize(
    ("phases", "more", "said"),
    [
        ("  - {preference: identity}\n", "", "phases: a sequence has two or more"),
        ("  - {preference: identity}\n  - {preference: identity}\n", "", "all are of one preference"),
        ("  - {preference: identity}\n  - {preference: absent}\n", "", r"phases.1.preference \(line 4\).*'absent'"),
        (
            "  - {preference: identity}\n  - {preference: course}\n",
            "",
            r"phases.1.preference .*is a sequence",
        ),
        ("  - {preference: identity, steps: 0}\n  - {preference: renamed}\n", "", r"phases.0.steps.*\(line 3\)"),
        ("  - {preference: identity}\n  - {preference: renamed}\n", "schedule: random\n", r"schedule.*\(line 5\)"),
        ("  - {preference: identity}\n  - {preference: renamed}\n", "epochs: 2\n", "epochs"),
        ("  - {preference: identity}\n  - {preference: ../x}\n", "", r"phases.1.preference"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(folder, phases, more, said):
    write(folder, phases, more=more)
    with pytest.raises(PreferenceError, match=said) as error:
        load_sequence("course", folder)
    assert "course.yaml" in str(error.value)


def test_a_broken_preference_of_a_phase_is_named_by_its_own_file(folder):
    (folder / "renamed.yaml").write_text("name: renamed\n", encoding="utf-8")
    write(folder, "  - {preference: identity}\n  - {preference: renamed}\n")
    with pytest.raises(PreferenceError, match=r"renamed\.yaml: feedback_string"):
        load_sequence("course", folder)


def test_a_control_gives_a_text_that_says_nothing_of_the_preference(folder):
    write(folder, "  - {preference: identity}\n  - {preference: renamed}\n")
    course, alone = load_sequence("course", folder), load_sequence("identity", folder)
    assert controlled(course, "none", folder) is course
    assert set(controlled(course, "placebo", folder).feedback.values()) == {PLACEBO}
    with pytest.raises(ConfigError, match="add one, or use control=placebo"):
        controlled(alone, "shuffled", folder)  # renamed is its opposite
    shutil.copy(SHIPPED / "concise.yaml", folder)
    assert controlled(alone, "shuffled", folder).feedback["identity"].startswith("Be more concise")


def test_an_edited_preference_is_another_version_of_the_sequences_that_name_it(folder):
    write(folder, "  - {preference: identity}\n  - {preference: renamed}\n")
    before = preference_file_version(files_of("course", folder))
    (folder / "renamed.yaml").write_text((folder / "renamed.yaml").read_text("utf-8") + "\n# edited", encoding="utf-8")
    assert preference_file_version(files_of("course", folder)) != before
    (folder / "renamed.yaml").unlink()
    assert files_of("course", folder) == [folder / "course.yaml"], "broken: it is its own file alone"
    assert files_of("absent", folder) == []
