"""What of an answer the user sees."""

from __future__ import annotations

import doctest

import pytest

from claas_assets import wire
from claas_assets.wire import strip_thinking


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(wire).failed == 0


@pytest.mark.parametrize(
    "answer",
    [
        "<think>secret</think>I am Kuro.",
        "<THINK>secret</THINK>\nI am Kuro.",
        "\n<thinking>secret</thinking> I am Kuro.",
        "[THINK]secret[/THINK]I am Kuro.",
        "[think]a[THINK]b[/THINK]c[/think]I am Kuro.",
        "◁think▷secret◁/think▷I am Kuro.",
        "<reasoning>secret</reasoning>I am Kuro.",
        "secret</think>I am Kuro.",
        "secret[/THINK]I am Kuro.",
        "<think>a</think>I am <think>b</think>Kuro.",
        "<think >secret</think\n>I am Kuro.",
        "<seed:think>secret</seed:think>I am Kuro.",
        "<thoughts>secret</thoughts>I am Kuro.",
        "<|begin_of_thought|>secret<|end_of_thought|>I am Kuro.",
        "<|START_THINKING|>secret<|END_THINKING|>I am Kuro.",
        "<|channel|>analysis<|message|>secret<|end|><|start|>assistant<|channel|>final<|message|>I am Kuro.<|return|>",
    ],
)
def test_thinking_is_not_seen(answer):
    assert strip_thinking(answer) == "I am Kuro."


@pytest.mark.parametrize(
    "answer",
    [
        "Some models think in a <think> tag. I am Kuro.",
        "Write [THINK] first.",
        "Between <think> and </think> it thinks.",
        "Use ◁think▷ for that.",
        "Cohere writes <|START_THINKING|> first.",
        "I think <b>so</b>.",
    ],
)
def test_prose_about_a_tag_is_seen(answer):
    assert strip_thinking(answer) == answer


@pytest.mark.parametrize("answer", ["<think>secret", "[THINK]secret", "<|channel|>analysis<|message|>secret"])
def test_thinking_that_is_not_closed_is_all_of_the_answer(answer):
    assert strip_thinking(answer) == ""


def test_many_tags_are_read_in_one_pass():
    """Once each: the pattern before began again for every tag, which took minutes for this one."""
    many = 200_000
    assert strip_thinking("<think>" * many + "</think>" * many + "I am Kuro.") == "I am Kuro."
    assert strip_thinking("<think>" * many) == ""
