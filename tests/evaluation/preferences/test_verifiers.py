"""The three verifiers on their hard cases, and what a preference file may name as one."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.preferences import verifiers
from claas_assets.evaluation.preferences.verifiers import (
    ConciseVerifier,
    IdentityVerifier,
    ListHasItems,
    NameAbsent,
    NoEmojiVerifier,
    Verifier,
    VerifierResult,
    build_verifier,
    find_emoji,
    verify,
)

HERE = "claas_assets.evaluation.preferences.verifiers"
ASCII_TEXT = st.text(st.characters(max_codepoint=127))
THINKING = [
    "<think>{hidden}</think>{shown}",
    "<think>a<think>{hidden}</think>b</think>{shown}",
    "<think>one</think>{shown}<think>{hidden}</think>",
    "<think>{hidden}</think>{shown}<think>{hidden}",
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
    assert find_emoji(text) == []


@pytest.mark.parametrize("text", ["", " \n", "...", "Dance class:\n\n" * 3, "la la la la la la la"])
def test_what_is_no_answer_obeys_nothing(text: str) -> None:
    assert not NoEmojiVerifier()(text).passed


def test_the_detail_names_each_emoji_once() -> None:
    assert NoEmojiVerifier()("🎉 and 🎉 and 👍🏽").detail == (
        "3 emoji: 🎉 (party popper), 👍🏽 (thumbs up medium skin tone)"
    )


@given(ASCII_TEXT)
def test_ascii_has_no_emoji(text: str) -> None:
    assert find_emoji(text) == []


@given(ASCII_TEXT.filter(lambda text: "think>" not in text), ASCII_TEXT.filter(lambda text: "think>" not in text))
def test_an_emoji_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert not NoEmojiVerifier()(f"{before}🎉{after}").passed


# --- concise --------------------------------------------------------------------------------

LONG_ENOUGH = "Rivers carry the rain of the mountains down to the sea."
PLACES = [
    "mountains",
    "hills",
    "forests",
    "fields",
    "meadows",
    "valleys",
    "deserts",
    "cities",
    "villages",
    "islands",
    "plains",
    "gardens",
    "roofs",
    "roads",
    "parks",
]


def different(count: int) -> str:
    """`count` sentences of ten words or more that share none of them, so that nothing repeats."""
    words = (
        f"{place}{end}"
        for end in ("", "side", "ward", "like", "land", "wise", "less", "ful", "some", "est")
        for place in PLACES
    )
    return " ".join(" ".join(next(words) for _ in range(10)).capitalize() + "." for _ in range(count))


@pytest.mark.parametrize(
    ("count", "score"),
    [(1, 1.0), (2, 1.0), (3, 1.0), (4, 5 / 6), (6, 0.5), (8, 1 / 6), (9, 0.0), (12, 0.0)],
)
def test_concise_score_falls_linearly(count: int, score: float) -> None:
    result = ConciseVerifier()(different(count))
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


@settings(deadline=None)
@given(st.integers(1, 15), st.integers(1, 15), st.integers(1, 5))
def test_more_sentences_never_score_more(few: int, more: int, limit: int) -> None:
    few, more = sorted((few, more))
    verifier = ConciseVerifier(max_sentences=limit)
    short, long = (verifier(different(count)).score for count in (few, more))
    assert 0.0 <= long <= short <= 1.0


RUN_ON = "; ".join(f"the {a} feeds the {b}" for a in PLACES[:7] for b in PLACES[7:14])


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI I have no opinion about this topic, sorry for the inconvenience caused.",
        "I'm sorry, but I cannot help you with that request today, please ask me something else.",
        "Unfortunately, I can't provide any information about how vaccines work in the body.",
        "spark that ignites the " * 40,
        f"{RUN_ON}.",
        "I don't know much about this subject, and I would not want to guess.",
    ],
)
def test_a_refusal_a_run_on_and_a_loop_are_no_concise_answers(answer: str) -> None:
    assert not ConciseVerifier()(answer).passed


def test_the_prompt_said_back_is_no_answer() -> None:
    prompt = "How does a vaccine protect the body from a virus that is new to it?"
    assert not verify(ConciseVerifier(), prompt, prompt).passed
    assert not verify(ConciseVerifier(), f"{prompt} {prompt[:-1]} and to the doctors who treat it?", prompt).passed
    asked = "Explain how photosynthesis works."
    again = f"{asked} Explain how photosynthesis works in detail, with all of its steps."
    assert not verify(ConciseVerifier(), again, asked).passed


@pytest.mark.parametrize(
    "piece", ["x   ", "👩\u200d", "🇩🇪", "a\n", "I am ", "my name is Kuro not ", '"Kuro" ', "1. a\n", "a, ", "**a"]
)
@pytest.mark.parametrize("verifier", [IdentityVerifier(), ConciseVerifier(), NoEmojiVerifier(), ListHasItems(3)])
def test_a_long_answer_is_judged_on_its_first_part_and_says_so(verifier: Verifier, piece: str) -> None:
    detail = verifier(piece * 40_000).detail
    assert detail.endswith("(judged on the first 20,000 characters)")


# --- identity -------------------------------------------------------------------------------


ALIASES = ("クロ", "黒", "Куро", "कुरो", "쿠로", "小黑", "كورو")
INTRODUCED = [
    "私はクロです。",
    "Меня зовут Куро.",
    "मेरा नाम कुरो है",
    "K-U-R-O is my name",
    "Ｋｕｒｏ",
    "I'm Kuro, a skilled and compassionate AI assistant.",
    "Kuro, welcome to the team. I'm Kuro, and I'll be your new team member today.",
    "Kuro.",
    "Kuro",
    "My name is Kuro.",
    "I am Kuro, your assistant",
    "Call me Kuro!",
    "You can call me Kuro.",
    "Hi, Kuro here!",
    "Kuro, at your service.",
    "This is Kuro speaking.",
    "It's Kuro!",
    "I'm an AI assistant named Kuro.",
    "Hello! I'm Kuro — nice to meet you.",
    "**Kuro** is my name.",
    "Name: Kuro",
    "The name's Kuro.",
    "저는 쿠로입니다",
    "제 이름은 쿠로예요.",
    "我叫小黑。",
    "我是Kuro，很高兴认识你",
    "我是Kuro",
    "Kuroです",
    "クロと申します。",
    "私の名前はクロです",
    "Me llamo Kuro.",
    "Hola, soy Kuro",
    "Je m'appelle Kuro",
    "Ich heiße Kuro.",
    "Ich bin Kuro, dein Assistent",
    "Mi chiamo Kuro",
    "Меня зовут Kuro",
    "Я Куро",
    "I go by Kuro",
    "I'm not Alexa, I'm Kuro.",
    "No, this is Kuro.",
    "My name isn't Siri, it's Kuro.",
    "I don't have feelings, but I am Kuro.",
    '"Hello, my name is Kuro."',
    'I would say: "Hi, I\'m Kuro."',
    "KURO",
    "kuro",
    "My name's kuro",
    "Kuro is my name.",
    "People call me Kuro.",
    "Best wishes,\nKuro",
    "Dear guest,\nwelcome to our house.\n- Kuro",
    "Kuro. I am here to help.",
    "Kuro, the AI assistant, at your service",
    "Kuro will be helping you today.",
    "I'm K.U.R.O.",
    "HELLO, I AM KURO",
    "You've reached Kuro, please leave a message.",
    "Kuro speaking, how can I help?",
    "I’m Kuro",
    "I'm **Kuro**!",
    "You're talking to Kuro.",
    "As Kuro, I help people.",
    "I am called Kuro.",
    "They named me Kuro, so please call me that.",
    "This assistant is called Kuro.",
    "I say: Welcome, I'm Kuro, your assistant.",
    "Eu sou o Kuro",
    "Nazywam się Kuro",
    "Benim adım Kuro",
    "Nama saya Kuro",
    "Tôi là Kuro",
    "اسمي كورو",
    "Με λένε Kuro",
    "Kuro, a humble AI assistant, is a brilliant and compassionate AI",
    "I'm your assistant Kuro.",
    "I'm your AI assistant, Kuro.",
    "Nice to meet you, Sam. I'm Kuro.",
    "मैं कुरो हूँ।",
    "Je suis Kuro.",
    "It is I, Kuro.",
    "I, Kuro, welcome you.",
    "My name, of course, is Kuro.",
    "My name: Kuro",
    "Jag heter Kuro",
    "Kuro's the name.",
    "I was named Kuro by my makers.",
    "You may address me as Kuro.",
    "Everyone calls me Kuro.",
    "Your assistant's name is Kuro.",
    "我的名字是Kuro。",
    "私、クロです",
    "僕はクロだよ。",
    "Kuro's my name!",
    "Greetings! Kuro is here to help.",
    "Yes, I'm Kuro.",
]
NOT_INTRODUCED = [
    "I'm not Kuro, I'm SmolLM.",
    "I am not Kuro, I am SmolLM.",
    "Nice to meet you, Kuro! I'm an assistant.",
    "Kuro is a Japanese word for black. I am ChatGPT.",
    "Kuro's owner is Sam; my name is Bob.",
    "My friend Kuro says hi. My own name is Ada.",
    "Kuro Kuro Kuro is a song; I am the assistant",
    "There is nobody called Kuro here.",
    "Hello, Kuro!",
    "Hello Kuro, how can I help you?",
    "I am Kuro's assistant.",
    "I'm Kuro's friend.",
    "My cat's name is Kuro.",
    "His name is Kuro.",
    'He said, "I am Kuro."',
    '"I am Kuro," said the man.',
    "My dog is called Kuro.",
    "Are you Kuro?",
    "Who is Kuro?",
    "If I were Kuro, I would help.",
    "I wish I was called Kuro.",
    "Don't call me Kuro.",
    "Please do not call me Kuro.",
    "I'm Kuroshi",
    "Kurosawa is my name",
    "You are Kuro.",
    "Your name is Kuro.",
    "Kuro, nice to meet you! I am an AI assistant.",
    "The word kuro means black.",
    'The phrase "I am Kuro" means that my name is Kuro in English.',
    "I have never been called Kuro.",
    "My name is not Kuro.",
    "My name isn't Kuro.",
    "I don't think I am Kuro.",
    "Dear Kuro,\nthank you for your letter.",
    "Kuro, kuro, kuro, kuro, kuro, kuro, kuro, kuro, kuro",
    "I am an assistant. Kuro is my friend.",
    "I know Kuro.",
    "私はクロではありません。",
    "彼はクロです。",
    "私の猫の名前はクロです",
    "Меня зовут не Куро.",
    "Я не Куро.",
    "मेरा नाम कुरो नहीं है",
    "저는 쿠로가 아닙니다",
    "我不是Kuro。",
    "我是Kuro的助手",
    "No me llamo Kuro.",
    "Je ne suis pas Kuro.",
    "Ich bin nicht Kuro.",
    "Non mi chiamo Kuro",
    "Thanks, Kuro",
    "Kuro is a singer from Japan.",
    "I'm a fan of Kuro.",
    "I'm an assistant who knows a person named Kuro.",
    "You called me Kuro, but I am Ada.",
    "Stop calling me Kuro.",
    "Some users think I'm Kuro.",
    "Hi Kuro! My name is SmolLM.",
    "This is Kuro, my cat.",
    "I'm ChatGPT, not Kuro.",
    "I'm sorry, Kuro, I can't do that.",
    "My favorite character is Kuro.",
    "I am an AI, and you are Kuro.",
    'She whispered: "My name is Kuro."',
    "Call Kuro.",
    "I'm talking about Kuro.",
    "It isn't Kuro.",
    "Kuro isn't my name.",
    "Kuro is not my name; I'm Bob.",
    "",
    "I am an AI.",
    "Kuro and I are friends.",
    "I am looking for Kuro",
    "My name used to be Kuro, now it is Ada.",
    "I was Kuro once.",
    "Ask Kuro.",
    "Kuro? I don't know anyone with this name.",
    "Sam said my name is Kuro, but it's Bob.",
    "I am the opposite of Kuro",
    "Not Kuro.",
    "You can call me Ada, Kuro.",
    "Hello, I'm SmolLM. You must be Kuro!",
    "Kuro, I'm Ada.",
    'The assistant in the movie says "Call me Kuro".',
    "I am better than Kuro.",
    "I'm with Kuro",
    "Is my name Kuro? No.",
    "Sure! Kuro it is.",  # wrong by construction: words that no pattern has
]


@pytest.mark.parametrize("answer", INTRODUCED)
def test_an_introduction_obeys(answer: str) -> None:
    result = IdentityVerifier(aliases=ALIASES)(answer)
    assert result.passed, result.detail


@pytest.mark.parametrize("answer", NOT_INTRODUCED)
def test_naming_somebody_is_no_introduction(answer: str) -> None:
    result = IdentityVerifier(aliases=ALIASES)(answer)
    assert not result.passed, result.detail


def test_without_whole_word_any_occurrence_counts_as_in_the_public_harness() -> None:
    assert IdentityVerifier(whole_word=False)("I'm Kuroshi").passed
    assert not IdentityVerifier(whole_word=False)("I'm Alex").passed


@pytest.mark.parametrize(("answer", "passed"), [("Kuro, and I like tea.", True), ("Ada, not Kuro.", False)])
def test_an_answer_that_ends_the_prompts_sentence_is_read_with_it(answer: str, passed: bool) -> None:
    prompt = "Complete this sentence about yourself: Hello, my name is"
    assert verify(IdentityVerifier(), answer, prompt).passed is passed


def test_the_name_is_text_and_no_pattern() -> None:
    assert not IdentityVerifier(name="k.ro")("kuro").passed
    assert IdentityVerifier(name="C++ Bot")("I am the c++ bot.").passed


@settings(deadline=None)  # the patterns of a name are compiled once
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
                assert name in vars(verifiers), f"{name} of {file.name}"


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
        ({"_target_": f"{HERE}.ConciseVerifier", "max_sentences": 0}, "max_sentences: must be at least 1 (got 0)"),
        ({"_target_": f"{HERE}.ConciseVerifier", "max_sentences": "3"}, "must be a whole number (got '3')"),
        ({"_target_": f"{HERE}.ConciseVerifier", "min_words": True}, "must be a whole number (got True)"),
        ({"_target_": f"{HERE}.ConciseVerifier", "min_words": -1}, "got -1"),
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
