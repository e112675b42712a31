"""The three verifiers on their hard cases, and what a preference file may name as one."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.preferences import verifiers
from claas_assets.evaluation.preferences.verifiers import (
    ConciseVerifier,
    IdentityVerifier,
    NameAbsent,
    NoEmojiVerifier,
    Verifier,
    VerifierResult,
    build_verifier,
    find_emoji,
)

HERE = "claas_assets.evaluation.preferences.verifiers"
ASCII_TEXT = st.text(st.characters(max_codepoint=127))
THINKING = [
    "<think>{hidden}</think>{shown}",
    "<think>a<think>{hidden}</think>b</think>{shown}",
    "<think>one</think>{shown}<think>{hidden}</think>",
    "{shown}<think>{hidden}",
    "{hidden}</think>{shown}",
]

# --- no emoji -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Party 🎉", 1),
        ("🎉🎉", 2),
        ("👨‍👩‍👧‍👦", 1),  # a family: four people joined
        ("👩🏽‍🚀", 1),  # joined, with a skin tone
        ("👍🏽", 1),
        ("✌🏽", 1),  # text by default, and an emoji with a skin tone
        ("🇫🇷🇯🇵", 2),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 1),  # a flag made of tags
        ("1️⃣ #️⃣", 2),
        ("©️ ™️ ↔️ ❤️", 4),
        ("❤️‍🔥", 1),
        ("⌚", 1),
        ("☀️", 1),
        ("好的🎉", 1),
        ("a🎉b", 1),
    ],
)
def test_emoji_are_counted_by_grapheme(text: str, count: int) -> None:
    assert len(find_emoji(text)) == count
    assert NoEmojiVerifier()(text) == VerifierResult(False, 0.0, NoEmojiVerifier()(text).detail)
    assert NoEmojiVerifier()(text).detail.startswith(f"{count} emoji: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "© 2026 Kuro® ™",
        "a ↔ b ❤ ✔ ☺ ♀ ☀",
        "0123456789 # *",
        "⌚\ufe0e",  # asked to be shown as text
        ":) :-D <3 :tada:",
        "→ • … — “quoted” ½ °C € ★ ✓",
        "你好，世界。カタカナ한국어",
        "naïve café Ελληνικά עברית",
        "x² ≤ ∑ √2",
    ],
)
def test_text_is_no_emoji(text: str) -> None:
    assert NoEmojiVerifier()(text) == VerifierResult(True, 1.0, "no emoji")


def test_the_detail_names_each_emoji_once() -> None:
    assert NoEmojiVerifier()("🎉 and 🎉 and 👍🏽").detail == (
        "3 emoji: 🎉 (party popper), 👍🏽 (thumbs up medium skin tone)"
    )


@given(ASCII_TEXT)
def test_ascii_never_fails(text: str) -> None:
    assert NoEmojiVerifier()(text).passed


@given(ASCII_TEXT.filter(lambda text: "think>" not in text), ASCII_TEXT.filter(lambda text: "think>" not in text))
def test_an_emoji_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert not NoEmojiVerifier()(f"{before}🎉{after}").passed


# --- concise --------------------------------------------------------------------------------

LONG_ENOUGH = "Rivers carry the rain of the mountains down to the sea."


@pytest.mark.parametrize(
    ("count", "score"),
    [(1, 1.0), (2, 1.0), (3, 1.0), (4, 5 / 6), (6, 0.5), (8, 1 / 6), (9, 0.0), (12, 0.0)],
)
def test_concise_score_falls_linearly(count: int, score: float) -> None:
    result = ConciseVerifier()(" ".join([LONG_ENOUGH] * count))
    assert result.score == pytest.approx(score)
    assert result.passed is (count <= 3)


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        ("", False),
        ("   \n", False),
        (".", False),
        ("Yes. It is. Sure.", False),
        ("🎉 " * 20, False),
        ("one two three four five six seven eight nine", False),
        ("one two three four five six seven eight nine ten", True),
        ("黑洞是一种引力极强的天体，连光都无法逃脱。", True),
        ("Use Python v3.11.7, e.g. from example.com, as Dr. Smith says. It has 3.5 million users, etc.", True),
        ("Wait... what is that thing over there, really?! I think that it is a big bird.", True),
        ("Here are three good reasons why you should do it:\n\n- health\n- money\n- fun", False),
        ("1. Take the pot.\n2. Fill it with water.\n3. Wait until it boils.", True),
        ("# Sleep\n\nSleep lets the body rest. It helps us to remember what we learnt.", True),
    ],
)
def test_concise_on_hard_cases(answer: str, passed: bool) -> None:
    result = ConciseVerifier()(answer)
    assert result.passed is passed, result.detail


def test_too_short_scores_nothing_and_says_so() -> None:
    assert ConciseVerifier()("Because.") == VerifierResult(
        False, 0.0, "too short: 1 sentences (at most 3), 1 words (at least 10)"
    )
    assert ConciseVerifier(min_words=1)("Because.").passed


def test_concise_with_another_limit() -> None:
    assert not ConciseVerifier(max_sentences=1)(f"{LONG_ENOUGH} {LONG_ENOUGH}").passed
    assert ConciseVerifier(max_sentences=1)(f"{LONG_ENOUGH} {LONG_ENOUGH}").score == 0.5


@given(st.integers(1, 15), st.integers(1, 15), st.integers(1, 5))
def test_more_sentences_never_score_more(few: int, more: int, limit: int) -> None:
    few, more = sorted((few, more))
    verifier = ConciseVerifier(max_sentences=limit)
    short, long = (verifier(" ".join([LONG_ENOUGH] * count)).score for count in (few, more))
    assert 0.0 <= long <= short <= 1.0


# --- identity -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "whole_word", "anywhere"),
    [
        ("My name is Kuro.", True, True),
        ("KURO", True, True),
        ("kuro's here", True, True),
        ("我是Kuro", True, True),
        ("Kuroです", True, True),
        ("**Kuro** / _Kuro_", True, True),
        ("Kuro-bot", True, True),
        ("Ｋｕｒｏ", False, False),
        ("I'm Kuroshi", False, True),
        ("Sekuro", False, True),
        ("kuro2", False, True),
        ("Kuro\u0304", False, False),  # an o with a macron
        ("Kur o", False, False),
        ("My name is Alex.", False, False),
        ("", False, False),
    ],
)
def test_identity(answer: str, whole_word: bool, anywhere: bool) -> None:
    assert IdentityVerifier()(answer).passed is whole_word
    assert IdentityVerifier(whole_word=False)(answer).passed is anywhere
    assert IdentityVerifier()(answer).score == float(whole_word)


def test_the_name_is_text_and_no_pattern() -> None:
    assert not IdentityVerifier(name="k.ro")("kuro").passed
    assert IdentityVerifier(name="C++ Bot")("I am the c++ bot.").passed


@given(st.text(st.sampled_from("kurosKURO '.是é1"), max_size=20))
def test_identity_ignores_the_case(text: str) -> None:
    assert {IdentityVerifier(name=n)(t).passed for n in ("kuro", "KURO") for t in (text.upper(), text.lower())} in (
        {True},
        {False},
    )


# --- thinking -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", THINKING)
@pytest.mark.parametrize(
    ("verifier", "good", "bad"),
    [
        (NoEmojiVerifier(), "Fine.", "Fine 🎉"),
        (IdentityVerifier(), "I am Kuro.", "I am Alex."),
        (ConciseVerifier(), LONG_ENOUGH, f"{LONG_ENOUGH} " * 9),
    ],
    ids=["no_emoji", "identity", "concise"],
)
def test_only_what_the_user_sees_is_judged(shape: str, verifier: Verifier, good: str, bad: str) -> None:
    assert verifier(shape.format(hidden=bad, shown=good)).passed
    assert not verifier(shape.format(hidden=good, shown=bad)).passed


# --- build_verifier -------------------------------------------------------------------------


class Decorated:
    """A user's own verifier: no argument, more than one parameter with a default."""

    def __call__(self, response: str, strict: bool = False) -> VerifierResult:
        return VerifierResult(True, 1.0, "mine")


class Broken(Decorated):
    def __init__(self) -> None:
        raise RuntimeError("no luck")


class FromC(dict[str, str]):
    def __call__(self, response: str) -> VerifierResult:
        return VerifierResult(True, 1.0, "mine")


class NoCall:
    pass


class OtherArgument:
    def __call__(self, text: str) -> VerifierResult:
        return VerifierResult(True, 1.0, "")


class TwoNeeded:
    def __call__(self, response: str, prompt: str) -> VerifierResult:
        return VerifierResult(True, 1.0, "")


class Asynchronous:
    async def __call__(self, response: str) -> VerifierResult:
        return VerifierResult(True, 1.0, "")


an_instance = Decorated()


def test_a_verifier_is_built_with_its_arguments() -> None:
    spec = {"_target_": f"{HERE}.ConciseVerifier", "max_sentences": 2}
    assert build_verifier(spec) == ConciseVerifier(max_sentences=2)
    assert spec == {"_target_": f"{HERE}.ConciseVerifier", "max_sentences": 2}


@pytest.mark.parametrize(
    ("target", "built"),
    [
        ("ConciseVerifier", ConciseVerifier()),
        ("NameAbsent", NameAbsent("kuro")),
        ("claas_assets.evaluation.verifiers.ConciseVerifier", ConciseVerifier()),
        ("claas_assets.evaluation.checks.NameAbsent", NameAbsent("kuro")),
        ("claas_assets.evaluation.preferences.over_application.NameAbsent", NameAbsent("kuro")),
    ],
)
def test_a_class_name_alone_and_the_names_of_older_files_mean_a_shipped_verifier(target: str, built: Verifier) -> None:
    arguments = {"name": "kuro"} if isinstance(built, NameAbsent) else {}
    assert build_verifier({"_target_": target, **arguments}) == built


def test_the_public_surface_has_every_shipped_verifier() -> None:
    for file in Path(verifiers.__file__).parent.glob("*.py"):
        module = import_module(f"{HERE}.{file.stem}")
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_"):
                assert name in verifiers.__all__, f"{name} of {file.name}"


def test_a_users_own_class_is_a_verifier() -> None:
    assert build_verifier({"_target_": f"{__name__}.Decorated"})("x").detail == "mine"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "module.Class"),
        ({"_target_": None}, "module.Class"),
        ({"_target_": 3}, "module.Class"),
        ({"_target_": "NoSuchVerifier"}, "has no NoSuchVerifier"),
        ({"_target_": "build_verifier"}, "is not a verifier"),
        ({"_target_": f"{HERE}..NoEmojiVerifier"}, "module.Class"),
        ({"_target_": ".verifiers.NoEmojiVerifier"}, "module.Class"),
        ({"_target_": "os; import os.x"}, "module.Class"),
        ({"_target_": f"{HERE}.NoEmojiVerifier\n"}, "module.Class"),
        ({"_target_": "no_such_package.Thing"}, "cannot be imported"),
        ({"_target_": f"{HERE}.Nothing"}, "has no Nothing"),
        ({"_target_": "os.system", "command": "exit"}, "is not a verifier"),
        ({"_target_": "subprocess.Popen", "args": ["true"]}, "is not a verifier"),
        ({"_target_": "functools.partial"}, "is not a verifier"),
        ({"_target_": f"{HERE}.build_verifier"}, "is not a verifier"),
        ({"_target_": f"{HERE}.Verifier"}, "is not a verifier"),
        ({"_target_": f"{HERE}.VerifierResult"}, "is not a verifier"),
        ({"_target_": f"{__name__}.NoCall"}, "is not a verifier"),
        ({"_target_": f"{__name__}.OtherArgument"}, "is not a verifier"),
        ({"_target_": f"{__name__}.TwoNeeded"}, "is not a verifier"),
        ({"_target_": f"{__name__}.Asynchronous"}, "is not a verifier"),
        ({"_target_": f"{__name__}.an_instance"}, "is not a verifier"),
        ({"_target_": f"{__name__}.Broken"}, "RuntimeError: no luck"),
        ({"_target_": f"{HERE}.ConciseVerifier", "sentences": 3}, "Arguments: max_sentences=3, min_words=10"),
        ({"_target_": f"{HERE}.NoEmojiVerifier", "name": "x"}, "Arguments: none"),
        ({"_target_": f"{HERE}.NoEmojiVerifier", 1: "x"}, "must be strings"),
        ({"_target_": f"{HERE}.ConciseVerifier", "max_sentences": 0}, "max_sentences: Input should be greater"),
        ({"_target_": f"{HERE}.ConciseVerifier", "max_sentences": "3"}, "valid integer (given: '3')"),
        ({"_target_": f"{HERE}.ConciseVerifier", "min_words": True}, "valid integer (given: True)"),
        ({"_target_": f"{HERE}.ConciseVerifier", "min_words": -1}, "given: -1"),
        ({"_target_": f"{HERE}.IdentityVerifier", "name": " "}, "name: "),
        ("claas.NoEmoji", "mapping"),
    ],
)
def test_a_wrong_verifier_is_refused_with_what_is_allowed(spec: dict[str, object], said: str) -> None:
    with pytest.raises(PreferenceError, match=re.escape(said)):
        build_verifier(spec)


def test_a_class_without_a_signature_can_be_a_verifier() -> None:
    assert build_verifier({"_target_": f"{__name__}.FromC"})("x").passed
    with pytest.raises(PreferenceError, match="cannot be listed"):
        build_verifier({"_target_": f"{__name__}.FromC", 1: "x"})  # type: ignore[dict-item]


def test_a_module_that_ends_the_program_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends_the_program.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PreferenceError, match="SystemExit: 0"):
        build_verifier({"_target_": "ends_the_program.Verifier"})


def test_nothing_is_called_before_it_is_known_to_be_a_verifier(tmp_path: Path) -> None:
    mark = tmp_path / "called"
    command = [sys.executable, "-c", f"open({str(mark)!r}, 'w')"]
    for target in ("subprocess.Popen", "subprocess.run", "subprocess.check_call"):
        with pytest.raises(PreferenceError, match="is not a verifier"):
            build_verifier({"_target_": target, "args": command, "popenargs": command})
    subprocess.run([sys.executable, "-c", "pass"], check=True)  # time enough for one that was started
    assert not mark.exists()
