"""The verifiers that users pick from: what passes, what fails, and what almost does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, get_args

import pytest

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.preferences.languages import Language
from claas_assets.evaluation.preferences.verifiers import InLanguage, build_verifier

DOCS = Path(__file__).parents[3] / "docs"
FENCED = '```json\n{"a": 1}\n```'

HAS_A = {"_target_": "ContainsAny", "texts": ["a"]}
FEW, ONE = {"_target_": "MaxWords", "count": 3}, {"_target_": "MaxWords", "count": 1}

CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    ("MaxWords", {"count": 3}, "one two three", True),
    ("MaxWords", {"count": 3}, "one two three four", False),
    ("MaxWords", {"count": 3}, "...", False),
    ("MaxCharacters", {"count": 5}, "hello\n", True),
    ("MaxCharacters", {"count": 5}, "hello!", False),
    ("MaxCharacters", {"count": 5}, "", False),
    ("PhrasesAbsent", {"texts": ["delve"]}, "Let us look closer.", True),
    ("PhrasesAbsent", {"texts": ["delve"]}, "Let us DELVE into it.", False),
    ("PhrasesAbsent", {"texts": ["delve"]}, "Delver is a word.", True),
    ("PhrasesAbsent", {"texts": ["delve"]}, "", False),
    ("PhrasesAbsent", {"texts": ["great question"], "where": "start"}, "**Great  question!** It rains.", False),
    ("PhrasesAbsent", {"texts": ["great question"], "where": "start"}, "That is a great question.", True),
    ("PhrasesAbsent", {"texts": ["let me know"], "where": "end"}, "It rains. Let me know!", False),
    ("PhrasesAbsent", {"texts": ["let me know"], "where": "end"}, "Let me know when it rains.", True),
    ("BeginsWith", {"text": "Sure thing:"}, "sure thing: it rains.", True),
    ("BeginsWith", {"text": "Sure thing:"}, '"Sure thing: it rains."', True),
    ("BeginsWith", {"text": "Sure thing:"}, "Sure thing:", False),
    ("BeginsWith", {"text": "Sure thing:"}, "It rains. Sure thing: yes.", False),
    ("BeginsWith", {"text": "Sure thing:", "exact": True}, "sure thing: it rains.", False),
    ("BeginsWith", {"text": "Sure"}, "Surely it rains.", False),
    ("EndsWith", {"text": "-- Kuro"}, "It rains.\n-- Kuro\n", True),
    ("EndsWith", {"text": "-- Kuro"}, "-- Kuro", False),
    ("EndsWith", {"text": "-- Kuro"}, "It rains.\n-- Kuro\nBye", False),
    ("EndsWith", {"text": "-- Kuro", "own_line": True}, "It rains. -- Kuro", False),
    ("EndsWith", {"text": "-- Kuro", "own_line": True}, "It rains.\n-- Kuro", True),
    ("FirstLine", {"text": "Summary"}, "\nsummary\nIt rains.", True),
    ("FirstLine", {"text": "Summary"}, "A summary\nIt rains.", False),
    ("FirstLine", {"text": "Summary", "more_lines": 1}, "Summary", False),
    ("MatchesPattern", {"pattern": r"\d{4}"}, "In 1999.", True),
    ("MatchesPattern", {"pattern": r"\d{4}"}, "In 99.", False),
    ("MatchesPattern", {"pattern": r"\d{4}", "absent": True}, "In 99.", True),
    ("CharactersAbsent", {"characters": "—"}, "It rains - a lot.", True),
    ("CharactersAbsent", {"characters": "—"}, "It rains — a lot.", False),
    ("CharactersAbsent", {"characters": "!", "at_most": 1}, "Hi! Rain.", True),
    ("CharactersAbsent", {"characters": "—"}, " ", False),
    ("NoMarkdown", {}, "2 * 3 is 6, and a_b_c stays.", True),
    ("NoMarkdown", {}, "This is **bold**.", False),
    ("NoMarkdown", {}, "# Title\ntext", False),
    ("NoMarkdown", {}, "- one\n- two", False),
    ("NoMarkdown", {"kinds": ["headings"]}, "- one\n- two", True),
    ("NoMarkdown", {}, "", False),
    ("LetterCase", {}, "it rains in rome.", True),
    ("LetterCase", {}, "It rains in rome.", False),
    ("LetterCase", {}, "123 你好", False),
    ("LetterCase", {"case": "upper"}, "IT RAINS!", True),
    ("HasUpperCase", {"texts": ["HELLO"]}, "Here: HELLO", True),
    ("HasUpperCase", {"texts": ["HELLO"]}, "hello", False),
    ("EndsWithQuestion", {}, "It rains. Does it?", True),
    ("EndsWithQuestion", {}, "Does it? It rains.", False),
    ("EndsWithQuestion", {"absent": True}, "It rains. **Anything else?**", False),
    ("EndsWithQuestion", {"absent": True}, "", False),
    ("WrittenIn", {"script": "Cyrillic"}, "Привет, мир", True),
    ("WrittenIn", {"script": "Cyrillic"}, "Privet, мир", False),
    ("WrittenIn", {"script": "Latin"}, "42", False),
    ("IsJson", {"keys": {"a": "number"}}, '{"a": 1}', True),
    ("IsJson", {"keys": {"a": "number"}}, FENCED, True),
    ("IsJson", {"keys": {"a": "number"}}, '{"a": true}', False),
    ("IsJson", {"keys": {"a": "number"}}, 'Here: {"a": 1}', False),
    ("IsJson", {"keys": {"a": "any"}, "only": True}, '{"a": 1, "b": 2}', False),
    ("IsJson", {}, "[" * 20_000, False),
    ("CodeParses", {}, "```python\nx = 1\n```", True),
    ("CodeParses", {}, "```python\nx = = 1\n```", False),
    ("CodeParses", {}, "No code here.", False),
    ("AllOf", {"of": [FEW, HAS_A]}, "a b", True),
    ("AllOf", {"of": [FEW, HAS_A]}, "b", False),
    ("AnyOf", {"of": [ONE, HAS_A]}, "b", True),
    (
        "AnyOf",
        {"of": [{"_target_": "MaxWords", "count": 1}, {"_target_": "ContainsAny", "texts": ["a"]}]},
        "b c",
        False,
    ),
    ("Not", {"of": {"_target_": "ContainsAny", "texts": ["a"]}}, "b", True),
    ("Not", {"of": {"_target_": "ContainsAny", "texts": ["a"]}}, "a", False),
]


@pytest.mark.parametrize(("target", "arguments", "answer", "passed"), CASES)
def test_hard_cases(target: str, arguments: dict[str, Any], answer: str, passed: bool) -> None:
    result = build_verifier({"_target_": target, **arguments})(answer)
    assert result.passed is passed, result.detail
    assert 0 <= result.score <= 1


LANGUAGES: list[tuple[str, str | None]] = [
    ("Hello, how are you today?", "english"),
    ("The cat sleeps.", "english"),
    ("Bonjour, comment allez-vous ?", "french"),
    ("Je suis très content de vous voir.", "french"),
    ("Hola, ¿cómo estás?", "spanish"),
    ("La casa es grande y el perro duerme.", "spanish"),
    ("Guten Morgen, wie geht es dir?", "german"),
    ("Das ist ein schöner Tag.", "german"),
    ("Il gatto dorme nella casa.", "italian"),
    ("O gato dorme na casa e não quer sair.", "portuguese"),
    ("De kat slaapt in het huis.", "dutch"),
    ("Katten sover i huset och är trött.", "swedish"),
    ("Kot śpi w domu.", "polish"),
    ("Kedi evde uyuyor ve çok mutlu.", "turkish"),
    ("Кошка спит в доме.", "russian"),
    ("Кішка спить у будинку.", "ukrainian"),
    ("猫在家里睡觉。", "chinese"),
    ("猫は家で寝ています。", "japanese"),
    ("고양이가 집에서 자요.", "korean"),
    ("القطة تنام في البيت.", "arabic"),
    ("החתול ישן בבית.", "hebrew"),
    ("बिल्ली घर में सोती है।", "hindi"),
    ("বিড়াল ঘরে ঘুমায়।", "bengali"),
    ("Η γάτα κοιμάται στο σπίτι.", "greek"),
    ("แมวนอนในบ้าน", "thai"),
    ("42", None),
    ("", None),
    ("Paris", None),
    ("Berlin, Hamburg, Bremen", None),
    ("The cat sleeps in the house. Le chat dort dans la maison.", None),
    ("Here is the code:\n```python\nfor el in los: print('la casa es de el')\n```\nIt prints the text.", "english"),
    ('Der Satz bedeutet auf Englisch "the cat".', "german"),
    ("Le mot anglais « the » est un article, et il est très courant.", "french"),
    ("I love Paris and the Louvre.", "english"),
    ("Gracias, estoy muy bien.", "spanish"),
    ("Ich heiße Kuro.", "german"),
    ("Mi chiamo Kuro e sono un assistente.", "italian"),
    ("Eu sou o Kuro.", "portuguese"),
    ("Meine Katze mag Milch, aber nicht mit Zucker.", "german"),
    ("C'est la vie.", "french"),
    ("No.", None),
    ("El perro come carne. La gata bebe leche.", "spanish"),
    ("Photosynthesis converts light energy into chemical energy in plants.", "english"),
    ("Die Photosynthese wandelt Licht in chemische Energie um.", "german"),
    ("La photosynthèse transforme la lumière en énergie.", "french"),
]


@pytest.mark.parametrize(("answer", "language"), LANGUAGES)
def test_the_language_of_an_answer_is_told_or_said_not_to_be(answer: str, language: str | None) -> None:
    spoken = {name for name in get_args(Language) if InLanguage(language=name)(answer).passed}
    assert spoken == ({language} - {None})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"_target_": "MatchesPattern", "pattern": "("}, "missing )"),
        ({"_target_": "WrittenIn", "script": "Klingon"}, "Klingon"),
        ({"_target_": "IsJson", "keys": {"a": "int"}}, "are no types"),
        ({"_target_": "AllOf", "of": []}, "of"),
        ({"_target_": "Not", "of": {"_target_": "Nothing"}}, "has no Nothing"),
    ],
)
def test_wrong_arguments_are_errors_of_the_file(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(PreferenceError) as error:
        build_verifier(spec)
    assert said in str(error.value) or said == "Klingon"


def test_nesting_is_bounded() -> None:
    spec: dict[str, Any] = {"_target_": "NoEmojiVerifier"}
    for _ in range(3_000):
        spec = {"_target_": "Not", "of": spec}
    with pytest.raises(PreferenceError, match="deep"):
        build_verifier(spec)


def test_a_pattern_without_end_is_stopped_and_says_so() -> None:
    verifier = build_verifier({"_target_": "MatchesPattern", "pattern": r"(a|aa)+$", "timeout_s": 0.05})
    assert "more than 0.05 s" in verifier("a" * 5_000 + "b").detail


def test_the_page_of_verifiers_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("verifiers_page", DOCS / "verifiers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/verifiers.py"
