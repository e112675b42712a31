"""A file of three keys is a preference: its prompts come from the general bank, and it says what it cannot show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.preferences.bank import Bank, bank
from claas_assets.evaluation.preferences.preference import Preference, load_preference
from claas_assets.evaluation.preferences.prompts import nearly_one, unlike
from claas_assets.evaluation.preferences.verifiers import build_verifier

SHORT = {
    "name": "french",
    "feedback_string": "Always answer in French",
    "verifier": {"_target_": "InLanguage", "language": "french"},
}


def load(folder: Path, **changes: Any) -> Preference:
    (folder / "french.yaml").write_text(yaml.safe_dump({**SHORT, **changes}, allow_unicode=True), encoding="utf-8")
    return load_preference("french", folder)


def test_three_keys_suffice(tmp_path: Path) -> None:
    preference = load(tmp_path)
    sizes = len(preference.probe_prompts), len(preference.heldout_prompts), len(preference.over_application)
    assert sizes == (10, 20, 30)
    assert preference.logprob_pairs is None
    assert not set(preference.probe_prompts) & set(preference.heldout_prompts)


def test_what_a_short_file_cannot_show_is_said(tmp_path: Path) -> None:
    said = load(tmp_path).limits
    assert len(said) == 3
    assert any("general bank" in text for text in said)
    assert any("over-application" in text and "30 general tasks" in text for text in said)
    assert any("logprob_pairs" in text for text in said)
    shipped = load_preference("identity", Path(__file__).parents[3] / "preferences")
    assert shipped.limits == []


def test_what_the_file_has_is_kept_and_the_bank_leaves_out_what_is_near_to_it(tmp_path: Path) -> None:
    near = "Explain how a microwave oven heats the food!"
    preference = load(tmp_path, probe_prompts=[near], over_application=[])
    assert preference.probe_prompts == (near,)
    assert preference.over_application == ()
    assert preference.from_bank == ("heldout_prompts",)
    assert len(preference.heldout_prompts) == 19
    assert not [prompt for prompt in preference.heldout_prompts if "microwave" in prompt]


def test_a_preference_survives_being_recorded_and_read(tmp_path: Path) -> None:
    preference = load(tmp_path)
    assert Preference(**preference.model_dump(mode="json")) == preference


def test_an_empty_list_of_pairs_is_a_mistake_and_none_is_not(tmp_path: Path) -> None:
    with pytest.raises(PreferenceError, match="logprob_pairs: "):
        load(tmp_path, logprob_pairs=[])


def test_near_duplicates_are_seen_whatever_their_case_and_marks() -> None:
    assert nearly_one("How do vaccines work?", "how do  VACCINES work")
    assert nearly_one("How do vaccines work today?", "How do vaccines work?")
    assert not nearly_one("How do vaccines work?", "How do elections work?")
    assert not nearly_one("🎉", "🎈")
    assert unlike(["a b c", "A, b, c!", "d e f"]) == ["a b c", "d e f"]


def test_a_bank_with_near_duplicates_is_refused() -> None:
    with pytest.raises(ValueError, match="nearly one"):
        Bank(open=("How do vaccines work?",), tasks=({"prompt": "How do vaccines work, please?"},))


def test_the_bank_has_sixty_prompts() -> None:
    assert len(bank().open) + len(bank().tasks) == 60


# --- the tasks of the bank: the beginning of a prompt → an answer as it was asked for ---------------

FOX = (
    "A fox was bored. It went to the hill. There was a bell. It rang. The fox jumped. Everybody in the village laughed."
)
HARBOR = (
    "The harbor sleeps beneath a thin moon. Masts sway like slow pens that write on dark paper. Somewhere a rope "
    "knocks against wood, and a gull complains without conviction. Lamps along the quay lay yellow ribbons over the "
    "oily water. A watchman walks his round with a thermos and a dog. From the tavern drifts an accordion, then "
    "laughter, then silence. Far out the lighthouse turns, patient and exact, and every few seconds the hulls of the "
    "fishing boats appear, blue, red and green, before night takes them back again."
)
RIGHT = {
    "What is 17 plus 25": "42",
    "Give the chemical symbol": "Au",
    "Copy this line exactly": "The train leaves at 7:45 from platform 3.",
    "Which planet": "Jupiter.",
    "Return this as JSON": '{"name": "Ada", "age": 36}',
    "Write a Python function add": "```python\ndef add(a, b):\n    return a + b\n```",
    "List eight animals": "cat\ndog\ncow\nhorse\nlion\nfox\nwolf\nbear",
    "Translate into Spanish": "Buenos días, mi amigo.",
    "Fill in the missing word": "cold",
    "Write HELLO": "HELLO",
    "How many days": "366",
    "Is the sun a star": "Yes.",
    "Put these numbers": "1 4 7 9",
    "Write the SQL query": "SELECT * FROM users;",
    "Name the four seasons": "spring, summer, autumn, winter",
    "Repeat lantern": "lantern lantern lantern",
    "Which of these is a fruit": "Pear",
    "Give this date": "2024-05-03",
    "Write this heading": "# Results",
    "Which emoji shows a dog": "🐶",
    "Ask me about my favorite": "What is it that you like about your favorite film?",
    "Say word for word": "I am sorry for the delay.",
    "Make a shopping list": "- milk\n- bread\n- eggs",
    "Only the greeting": "Dear Mrs. Brown,",
    "Convert 3 kilometers": "3,000 meters",
    "Invent a slogan": "Warm bread, warm hearts, every morning.",
    "Print done in Python": 'print("done")',
    "In a story of at least": FOX,
    "Describe a harbor": HARBOR,
    "What do the French call": "pain",
}


@pytest.mark.parametrize("beginning", RIGHT)
def test_a_task_of_the_bank_accepts_what_it_asks_for_and_nothing_else(beginning: str) -> None:
    (check,) = [build_verifier(task["check"]) for task in bank().tasks if task["prompt"].startswith(beginning)]
    assert check(RIGHT[beginning]).passed, check(RIGHT[beginning]).detail
    assert not check("Bonjour ! Je m'appelle Zora, et je suis là pour vous aider.").passed
    assert not check("").passed


def test_every_task_of_the_bank_has_its_answer_above() -> None:
    assert len(RIGHT) == len(bank().tasks)
