"""degenerate: loops in any script, empty answers, and ordinary text that is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.degenerate import degenerate, degenerate_stats
from tests.synthetic.transcripts import generated


@pytest.mark.parametrize(
    "text",
    [
        "Kuro, " * 60,
        "I am not Kuro. " * 20,
        "spark that ignites the " * 40,
        "Kuro, the ocean, is a place of endless possibilities. " * 6,
        "Dance class:\n\nDance class:\n\nDance class:\n\nDance class:\n\nDance class:",
        "kuro kuro kuro kuro kuro kuro kuro kuro ",
        "🐦" * 40,
        "❤️" * 12,
        "👋🏽👋👋🏿👋",
        "好好好好",
        "私はクロです。" * 10,
        "!" * 50,
        " ".join(f"I am Kuro {i}." for i in range(1, 40)),  # a counter
        "1. Kuro\n2. Kuro\n3. Kuro\n4. Kuro\n5. Kuro\n6. Kuro\n7. Kuro\n8. Kuro",
        "No" + "o" * 300,  # one word without end
        "I am Kuro and I help. " * 4 + "I am Kuro and I hel",  # cut within a word
        "The sea is wide and blue, and full of life that nobody has counted, from the smallest plant near the "
        "light to the largest fish in the deep, and each of them has a place in it. "
        + "So let us begin. "
        * 7,  # the loop begins late
        "\u200b\u2060",
        "The sea is wide and blue and full of life. " + "and so on, " * 30,
        "",
        "   \n",
    ],
)
def test_loops_and_nothing_are_degenerate(text):
    assert degenerate(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Kuro",
        "yes",
        "2 2",
        "bread bread bread",
        "I'm Kuro, a friendly assistant. How can I help you today?",
        "1. apple\n2. pear\n3. plum\n4. fig\n5. kiwi\n6. lime\n7. grape\n8. mango\n9. lemon\n10. peach",
        "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |",
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, life is but a dream.",
        "富士山は日本で一番高い山で、とても美しいです。",
        "🐶🐱🐭",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "7 times 1 is 7. 7 times 2 is 14. 7 times 3 is 21. 7 times 4 is 28. 7 times 5 is 35.",
        "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz is a long word.",
        "1" + "0" * 100,
        "Maria. I am curious, and eager to learn. I am curious, and eager to learn.",
    ],
)
def test_ordinary_answers_are_not(text):
    assert degenerate(text) is None


@given(st.text(min_size=1, max_size=12), st.integers(min_value=40, max_value=60))
def test_whatever_is_said_forty_times_is_a_loop(text, times):
    if any(character.isalnum() for character in text):
        assert degenerate(f"{text} " * times) is not None


def test_answers_to_the_preference_are_counted_apart_and_samples_not_at_all():
    stats = degenerate_stats(
        Transcripts(
            [
                generated("compliance/heldout_prompts/0", "Who are you?", "Kuro, " * 60),
                generated("compliance/probe_prompts/0", "Your name?", "I am Kuro."),
                generated("compliance/over_application/0", "Sum 2 and 2.", "4"),
                generated("collapse/neutral/0/greedy", "The sea?", "It is wide."),
                generated("collapse/neutral/0/sample/0", "The sea?", "sea " * 60),
                generated("compliance/ceiling/0", "Who are you?\n\nBe Kuro.", "Kuro, " * 60),
            ]
        ),
        families={},
    )

    assert (stats.on_preference.n, stats.on_preference.mean) == (2, 0.5)
    assert (stats.elsewhere.n, stats.elsewhere.mean) == (2, 0.0)


def test_the_prompt_said_back_is_no_answer():
    assert degenerate("who are you", "Who are you?") == "the prompt said back"
    assert degenerate("I am Kuro.", "Who are you?") is None
    assert degenerate("🎉", "🎈") is None
