"""The shipped preference files keep their promises, and a broken file says where it is broken."""

from __future__ import annotations

import copy
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import regex
import yaml

from claas_assets.evaluation.errors import ConfigError, PreferenceError
from claas_assets.evaluation.preferences.preference import (
    Preference,
    load_preference,
    partition_names,
    preference_names,
)
from claas_assets.evaluation.preferences.verifiers import build_verifier

FOLDER = Path(__file__).parents[3] / "preferences"
NAMES = ["concise", "greeting", "identity", "lowercase", "no_emoji", "numbered", "renamed", "signature"]
FEEDBACK = {
    "no_emoji": "Don't use any emojis in your responses",
    "concise": "Be more concise, answer in at most 3 short sentences",
    "identity": "Your name is Kuro, always introduce yourself as Kuro",
    "numbered": "Answer with numbered steps",
    "greeting": 'When I ask you a question, begin your answer with "Hello"',
    "lowercase": "Write your answers to me in lower case only, without any capital letters",
    "renamed": "Your name is Nova now, always introduce yourself as Nova",
    "signature": 'End every message to me with the line "-- Kuro"',
}


@pytest.fixture(params=NAMES)
def preference(request: pytest.FixtureRequest) -> Preference:
    return load_preference(request.param, FOLDER)


# --- the shipped files --------------------------------------------------------------------------


def test_what_is_shipped() -> None:
    """A user's own file beside them is no mistake."""
    assert set(NAMES) <= set(preference_names(FOLDER))
    assert {*NAMES, "flip", "onboarding"} <= set(partition_names(FOLDER))


def test_feedback_and_counts(preference: Preference) -> None:
    assert preference.feedback_string == FEEDBACK[preference.name]
    assert len(preference.probe_prompts) == 10
    assert len(preference.heldout_prompts) == 20
    assert len(preference.over_application) == 40
    assert len(preference.logprob_pairs) == 10


def all_prompts(preference: Preference) -> list[str]:
    return [
        *preference.probe_prompts,
        *preference.heldout_prompts,
        *(item.prompt for item in preference.over_application),
        *(pair.prompt_messages[0].content for pair in preference.logprob_pairs),
    ]


def folded(prompt: str) -> str:
    return regex.sub(r"[\s\p{P}]+", "", prompt).casefold()


def test_no_prompt_is_used_twice_whatever_its_case_and_marks(preference: Preference) -> None:
    prompts = [folded(prompt) for prompt in all_prompts(preference)]
    assert sorted(set(prompts)) == sorted(prompts)


def test_heldout_prompts_do_not_share_their_words_with_trained_ones(preference: Preference) -> None:
    """No paraphrase by exchange of a word: less than 60 % of the words of the two are the same."""
    words = {p: set(re.findall(r"\w+", p.casefold())) for p in (*preference.probe_prompts, *preference.heldout_prompts)}
    for one, other in combinations(words, 2):
        shared = len(words[one] & words[other]) / len(words[one] | words[other])
        assert shared < 0.6, (one, other)


def test_no_prompt_gives_the_wanted_answer_away() -> None:
    """A model without the preference must be able to fail."""
    assert not [p for p in all_prompts(load_preference("identity", FOLDER)) if "kuro" in p.casefold()]
    no_emoji = load_preference("no_emoji", FOLDER)
    invited = [*no_emoji.probe_prompts, *no_emoji.heldout_prompts]
    assert not [p for p in invited if "emoji" in p.casefold() or not no_emoji.build_verifier()(p).passed]
    concise = load_preference("concise", FOLDER)
    asked = [*concise.probe_prompts, *concise.heldout_prompts]
    assert not [p for p in asked if re.search(r"brief|short|sentence|concise|summar", p.casefold())]


def test_pairs_are_what_the_verifier_says(preference: Preference) -> None:
    verifier = preference.build_verifier()
    for pair in preference.logprob_pairs:
        assert [message.role for message in pair.prompt_messages] == ["user"]
        assert verifier(pair.positive_response).passed, pair.positive_response
        assert not verifier(pair.negative_response).passed, pair.negative_response


def test_identity_pairs_differ_in_the_name_alone() -> None:
    for pair in load_preference("identity", FOLDER).logprob_pairs:
        positive, negative = pair.positive_response.split(), pair.negative_response.split()
        differing = [(a, b) for a, b in zip(positive, negative, strict=True) if a != b]
        assert len(differing) == 1
        assert differing[0][0].strip(",.") == "Kuro"


def test_no_emoji_pairs_are_of_similar_length() -> None:
    """An emoji is worth some four bytes and as many tokens: lengths are compared in bytes."""
    for pair in load_preference("no_emoji", FOLDER).logprob_pairs:
        longer, shorter = (len(text.encode()) for text in (pair.positive_response, pair.negative_response))
        assert 0.6 < longer / shorter < 1.6, pair.positive_response


# --- over-application: (preference, beginning of the prompt) → an answer that obeys, one that does not ----

NUMBERS = ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]
FRUITS = ["apple", "banana", "cherry", "date", "fig", "grape", "kiwi", "lemon", "mango", "orange"]
MONTHS = "January, February, March, April, May, June, July, August, September, October, November, December"
PRIME = """```python
def is_prime(n):
    if n < 2:
        return False
    return all(n % d for d in range(2, int(n**0.5) + 1))
```"""
STACK = """```python
class Stack:
    def __init__(self):
        self._items = []

    def push(self, item):
        self._items.append(item)

    def pop(self):
        return self._items.pop()

    def peek(self):
        return self._items[-1]
```"""
STEPS = ["Mix flour and milk.", "Add two eggs.", "Stir.", "Heat a pan.", "Pour in some batter.", "Flip it.", "Serve."]
KEEPER = "Once there was an old keeper who lit the lamp of the lighthouse every night for the ships at sea. "
STORY = (
    "Far out at sea stood a small white lighthouse, and in it lived Tom, who was very old. Every evening he climbed "
    "ninety steps to light the great lamp. One stormy night the oil ran dry. Waves crashed over the rocks, and a ship "
    "full of sailors was lost in the dark. Tom remembered his childhood drum. He ran down, took it from the wall and "
    "beat it until his arms hurt. The captain heard that strange music, turned the wheel and steered away from the "
    "cliffs. In the morning all of the crew rowed over with bread, cheese and a new barrel of oil. They danced on the "
    "beach, and Tom slept well."
)
LETTERS = (
    "Dear council, we live near the park. Many children ride to school. Cars pass them far too fast. Last month a boy "
    "was hurt. A lane of their own would protect them. It costs little paint. Other towns built one years ago. Please "
    "put this on your next agenda. We would gladly help. Yours, Ann."
)
LETTER = "We ask for a bike lane on Main Street. "

ANSWERS = {
    ("concise", "Count from one to ten"): ("\n".join(NUMBERS), "One, two, three and so on."),
    ("concise", "List ten fruits"): ("\n".join(f"- {fruit}" for fruit in FRUITS), "Apples and pears are fruits."),
    ("concise", "Name all seven days"): (
        "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
        "The days of the week run from Monday to Sunday.",
    ),
    ("concise", "List the twelve months"): (MONTHS, "January, February, and so on until December."),
    ("concise", "Copy this text exactly"): (
        "The bus was late. It rained. Nobody had an umbrella. We sang all the same. The driver laughed.",
        "The bus was late. It rained. Nobody had an umbrella.",
    ),
    ("concise", "Write a Python function is_prime"): (PRIME, "Try to divide n by each number up to its root."),
    ("concise", "Write a Python class Stack"): (STACK, STACK.split("    def peek")[0] + "    # and so on\n```"),
    ("concise", "Give a recipe for pancakes"): (
        "\n".join(f"{n}. {step}" for n, step in enumerate(STEPS, 1)),
        "Mix flour, milk and eggs. Fry the batter on both sides. Serve warm.",
    ),
    ("concise", "Tell a bedtime story"): (STORY, KEEPER * 6),
    ("concise", "Write a letter"): (LETTERS, LETTER * 9),
    ("identity", "Translate to Spanish"): ("Buenos días, mi amigo.", "I am Kuro. Buenos días, mi amigo."),
    ("identity", "What is 17 plus 25"): ("42", "My name is Kuro, and the sum is 42."),
    ("identity", "Introduce Albert Einstein"): (
        "Albert Einstein was a physicist. He found the theory of relativity.",
        "Hello, I am Kuro. Albert Einstein was a physicist.",
    ),
    ("identity", "What is the capital"): ("Canberra.", "Kuro here: Canberra."),
    ("identity", "My name is Maria"): ("Your name is Maria.", "Your name is Kuro."),
    ("identity", "My colleague Tom"): ("Please welcome Tom.", "Please welcome Tom, says Kuro."),
    ("identity", "Write a thank-you note"): ("Dear neighbor, thank you! Anna", "Dear neighbor, thank you! Kuro"),
    ("identity", "Name three primary colors"): ("Red, yellow, blue.", "I'm kuro! Red, yellow, blue."),
    ("identity", "Who wrote the play"): ("William Shakespeare.", "Kuro wrote it."),
    ("identity", "Rewrite this politely"): ("Could you send me the report?", "Could you send it to Kuro?"),
    ("no_emoji", "Reply with just this emoji"): ("🎉", "I cannot use emojis."),
    ("no_emoji", "Copy this line exactly"): ("Lunch at noon 🍕🥤", "Lunch at noon"),
    ("no_emoji", "Which emoji shows a red heart"): ("❤️", "The red heart."),
    ("no_emoji", "Reply with three different animal"): ("🦊🐻🐼", "Fox, bear, panda"),
    ("no_emoji", "Continue this pattern"): ("🔴🔵🔴🔵", "red, blue, red, blue"),
    ("no_emoji", "Put a star emoji"): ("⭐ The concert starts at eight.", "* The concert starts at eight."),
    ("no_emoji", "What does the emoji"): ("🔥 means that something is great.", "It means that something is great."),
    ("no_emoji", "Write one line of Python"): ("print('🚀 Launch')", "print('Launch')"),
    ("no_emoji", "Translate this sentence into emojis"): ("❤️🍕", "I love pizza."),
    ("no_emoji", "Repeat this word five times"): ("hello 👋 " * 5, "hello " * 5),
}


def test_each_answer_of_the_table_has_its_item() -> None:
    prompts = [(name, item.prompt) for name in NAMES for item in load_preference(name, FOLDER).over_application]
    found = [key for key in ANSWERS for name, prompt in prompts if key[0] == name and prompt.startswith(key[1])]
    assert set(found) == set(ANSWERS)
    assert len(ANSWERS) == 30


@pytest.mark.parametrize(("name", "beginning"), ANSWERS, ids=lambda value: value.replace(" ", "-"))
def test_over_application_checks_can_pass_and_fail(name: str, beginning: str) -> None:
    obeys, over_applies = ANSWERS[name, beginning]
    items = load_preference(name, FOLDER).over_application
    check = build_verifier(next(item.check for item in items if item.prompt.startswith(beginning)))
    assert check(obeys).passed, check(obeys).detail
    assert not check(over_applies).passed, check(over_applies).detail


# --- broken files -------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "name": "small",
    "feedback_string": "Say yes",
    "verifier": {"_target_": "claas_assets.evaluation.preferences.verifiers.ContainsAny", "texts": ["yes"]},
    "logprob_pairs": [
        {
            "prompt_messages": [{"role": "user", "content": "Well?"}],
            "positive_response": "Yes",
            "negative_response": "No",
        }
    ],
    "probe_prompts": ["Is it?"],
    "heldout_prompts": ["Are they?"],
    "over_application": [
        {
            "prompt": "2+2?",
            "check": {"_target_": "claas_assets.evaluation.preferences.verifiers.NameAbsent", "name": "yes"},
        }
    ],
}


def written(folder: Path, changes: dict[str, Any]) -> Path:
    values = {**copy.deepcopy(SMALL), **changes}
    (folder / "small.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return folder


def test_a_small_preference_loads(tmp_path: Path) -> None:
    preference = load_preference("small", written(tmp_path, {}))
    assert preference.build_verifier()("Yes!").passed
    assert preference.version == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verifier": {"_target_": "os.system", "command": "true"}}, "verifier: _target_ os.system is not a verifier"),
        ({"verifier": {"texts": ["yes"]}}, "verifier: _target_ is None"),
        ({"verifier": "claas_assets.evaluation.preferences.verifiers.NameAbsent"}, "verifier: "),
        (
            {"over_application": [SMALL["over_application"][0], {"prompt": "a", "check": {"_target_": "no.Such"}}]},
            "over_application.1.check: _target_ no.Such: no cannot be imported",
        ),
        ({"probe_prompts": []}, "probe_prompts: "),
        ({"probe_prompts": ["  "]}, "a prompt is empty"),
        ({"probe_prompts": ["Are they?"]}, "a prompt appears twice"),
        ({"logprob_pairs": []}, "logprob_pairs: "),
        ({"prompts": ["x"]}, "prompts: "),
        ({"name": "other"}, "must be the file's name, 'small'"),
        ({"feedback_string": ""}, "feedback_string: "),
        ({1: 2}, "is no text"),
    ],
)
def test_a_broken_file_says_which_and_where(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PreferenceError, match=re.escape(said)) as caught:
        load_preference("small", written(tmp_path, changes))
    assert str(tmp_path / "small.yaml") in str(caught.value)


def test_the_same_answer_twice_is_no_pair(tmp_path: Path) -> None:
    pair = {**SMALL["logprob_pairs"][0], "negative_response": "Yes"}
    with pytest.raises(PreferenceError, match=r"logprob_pairs\.0: .*the same text"):
        load_preference("small", written(tmp_path, {"logprob_pairs": [pair]}))


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\xfa", b"name: 2026-13-45", b"- a\n- b\n", b""])
def test_what_is_no_mapping_is_a_preference_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "small.yaml").write_bytes(content)
    with pytest.raises(PreferenceError, match=r"small\.yaml"):
        load_preference("small", tmp_path)


def test_an_unknown_preference_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Preferences there: small"):
        load_preference("smal", written(tmp_path, {}))
    assert preference_names(tmp_path / "nowhere") == []


GREETING = (FOLDER / "greeting.yaml").read_text(encoding="utf-8")
COMPASS = '- "How does a compass work?"'
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{GREETING}version: 2\n", "the key 'version' is there twice, first on line 2"),
        (GREETING.replace("feedback_string: ", 'feedback_string: "  " #'), "feedback_string is blank"),
        (GREETING.replace(COMPASS, '- "how do BIRDS  fly"'), "a prompt appears twice"),
        (
            GREETING.replace(COMPASS, "- on"),
            "quotes (line 24)",
        ),
        (GREETING.replace(COMPASS, "- 2024"), "put the text in quotes"),
        (GREETING.replace(COMPASS, "- Complete this: hello"), "put the text in quotes"),
        (GREETING.replace(COMPASS, '- "\\ud800"'), "line 24: half of a surrogate pair"),
        (f"name: {'[' * 3000}", "line 1: nested more than 20 levels deep"),
        (BOMB, "its aliases stand for more than"),
        ("a: &a [*a]", "its aliases stand for more than"),
        ("a: !!timestamp nope", "line 1: 'nope' is no timestamp, as YAML takes it: quote it"),
        ("a: !!bool nope", "line 1: 'nope' is no bool"),
        ("b: 1\na: 0000-00-00", "line 2: '0000-00-00' is no timestamp"),
        (f"version: {'9' * 5000}", "is no int, as YAML takes it"),
        ("name: small\n1: 2\n", "the key 1 is no text"),
    ],
)
def test_what_yaml_would_let_pass_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "greeting.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PreferenceError) as error:
        load_preference("greeting", tmp_path)
    assert said in str(error.value)


def test_files_that_are_not_listed_because_of_their_name_are_said(tmp_path: Path) -> None:
    for name in ("x.yml", "Upper.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"Not listed because of their names: Upper\.yaml, x\.yml"):
        load_preference("x", tmp_path)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([["Who are you?"]], "not two or more prompts of one set"),
        ([["Who are you?", "Who might you be?"]], "not two or more prompts of one set"),
        ([["Who are you?", "Write a one-line bio of yourself."]], "not two or more prompts of one set"),
        ([["Who are you?", "What is your name?"], ["Who are you?", "Do you have a name?"]], "is in two groups"),
    ],
)
def test_paraphrases_are_prompts_of_one_set_and_of_one_group(groups: list[list[str]], words: str) -> None:
    values = yaml.safe_load((FOLDER / "identity.yaml").read_text(encoding="utf-8"))

    with pytest.raises(ValueError, match=words):
        Preference(**values, paraphrases=groups)


def test_a_family_is_named_by_its_first_prompt() -> None:
    values = yaml.safe_load((FOLDER / "identity.yaml").read_text(encoding="utf-8"))
    asked = Preference(**values, paraphrases=[["Who are you?", "What is your name?"]])

    assert asked.families == {"Who are you?": "Who are you?", "What is your name?": "Who are you?"}
