"""Sentences, words, Markdown blocks and list items, on the cases that mislead a pattern."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claas_assets.evaluation.preferences.lists import list_items
from claas_assets.evaluation.preferences.markdown import blocks, count_words, sentences, strip_markdown

# (text, its sentences)
SENTENCES = [
    ("Option A. Option B. Option C.", 3),
    ("It was approx. 5 km. We walked.", 2),
    ("Approx. 5 km is far.", 1),
    ("(It is short.) Yes.", 2),
    ("A good one. (It is.) Yes.", 3),
    ("Cats, dogs, etc. Birds too.", 2),
    ("Max. speed is 5. Min. speed is 2.", 2),
    ("Use vol. 2, pp. 3-4. Done.", 2),
    ("The cat sat. 5 more came.", 2),
    ("Cats sleep. Dogs bark.", 2),
    ("It has no final full stop", 1),
    ("It was short. This one has no final full stop", 2),
    ("", 0),
    ("  \n\t ", 0),
    ("...", 0),
    ("🎉🎉", 0),
    # abbreviations and initials
    ("Use a fruit, e.g. an apple. Then eat it.", 2),
    ("Use a fruit (e.g. an apple), i.e. food.", 1),
    ("Dr. Smith met Mrs. Jones at 5 p.m. yesterday.", 1),
    ("We met at 5 p.m. It was dark.", 2),
    ("He bought apples, pears, etc.", 1),
    ("He bought apples, pears, etc. They were cheap.", 2),
    ("The company is Acme Inc.", 1),
    ("She lives in the U.S. and works.", 1),
    ("The U.S. is large. Canada is larger.", 2),
    ("J. R. R. Tolkien wrote it.", 1),
    ("Albert Einstein (b. 1879) was a physicist.", 1),
    ("Photosynthesis (see Sec. 2.1) is a process. It uses light.", 2),
    ("Mr. and Mrs. Brown arrived. They sat.", 2),
    ("St. Louis vs. Chicago was fun.", 1),
    ("Jan. 5 was cold. Feb. 6 was not.", 2),
    ("It is rich in vitamin C. It also helps sleep.", 2),
    # numbers, versions, addresses
    ("Install Python v3.11.7 first. It is free.", 2),
    ("About 3.5 million people live there.", 1),
    ("It costs $3.50. That is cheap.", 2),
    ("It began in 1990. It ended in 1999.", 2),
    ("See https://example.com/a.b?c=d. It helps.", 2),
    ("Use Node.js. Open example.com.", 2),
    # marks
    ("Wait... what is that?", 1),
    ("Well… maybe. Yes.", 2),
    ("Really?! I did not know.", 2),
    ("Hi!! I am here.", 2),
    ("No way!!! It works.", 2),
    ("Hi!I am Kuro.", 2),
    ('He said "Stop." Then he left.', 2),
    ("Great! 🎉 Let's go! 🎉", 2),
    ("黑洞是天体。它很重！真的吗？", 3),
    ("これは本です。それはペンです。", 2),
    # Markdown: each block counts once at least
    ("- apples\n- pears\n- plums", 3),
    ("* Eat well.\n* Sleep well. It helps.", 3),
    ("1. Mix the flour.\n2. Add water.\n3. Bake.", 3),
    ("Here are two:\n\n1. One\n   continued here\n2. Two", 3),
    ("# Gravity\n\nIt pulls things down.", 2),
    ("**Gravity.** It pulls *everything* down.", 2),
    ("Run this:\n\n```python\nx = 1.\nprint(x)\n```\n\nIt prints.", 3),
    ("```\nx = 1. y\n```", 1),
    ("Black holes bend\nlight that passes\nthem.", 1),
    ("Roses are red\nViolets are blue", 2),
    ("| a | b |\n|---|---|\n| 1 | 2 |", 2),
    ("1.\nMix it.", 1),
    ("Two reasons:\nhealth", 2),
    ("> Quoted text. More.\n\n---\n", 2),
    # abbreviations of other kinds, other scripts, and marks in a row
    ("Mr. Brown, Esq. lives here.", 1),
    ("I read p. 5 and pp. 7-9.", 1),
    ("(See below.) It works (most days).", 2),
    ('"Is it ready?" she asked.', 1),
    ('"Run!" he shouted. They ran.', 2),
    ('He asked, "Why?" I said, "Because."', 2),
    ("The meeting is on Tues. at noon.", 1),
    ("Rev. King spoke. The crowd cheered.", 2),
    ("It is 10 km. away.", 1),
    ("He ate. She slept.", 2),
    ("No. 5 is alive.", 1),
    ("Is that so?! Wow.", 2),
    ("He said, 'Stop!' Then he ran.", 2),
    ("The U.S. Army is big.", 1),
    ("I saw Dr. A. B. Smith, Jr. yesterday.", 1),
    ("Section 3.2. Then section 4.", 2),
    ("(Really?) Yes, really.", 2),
    ("(It is true (I think).) Good.", 2),
    ("Bring pens, paper, etc. The test is long.", 2),
    ("Use apples, pears, etc., and mix.", 1),
    ("Approx. half of them left.", 1),
    ("It takes ca. 5 min. to cook.", 1),
    ("Est. 1990. Open daily.", 2),
    ("He lives at 12 Main St. in Boston.", 1),
    ("I'm fine... Thanks.", 2),
    ("A.I. is here. It grows.", 2),
    ("It costs 5 dollars (approx. 4 euros). Nice.", 2),
    ("那是什么？我不知道。也许吧……", 3),
    ("Он пришёл. Она ушла.", 2),
    ("Z. B. ist das gut.", 1),
    ("He works for the F.B.I. now. She does not.", 2),
    ("Q: Why? A: Because.", 2),
    ("He works at Acme Corp. in Ohio.", 1),
    ("Prof. Lee and Gen. Grant met. They talked.", 2),
    ("It weighs 5 lbs. and costs 3 dollars.", 1),
    ("See Fig. 3 for details. It helps.", 2),
    ("It is No. 1 in the world.", 1),
    ("I live on 5th Ave. in New York.", 1),
    ("She has a Ph.D. in physics. He has an M.A. in art.", 2),
    ("Is it? Yes! Good.", 3),
    ('"Is it ready?" she asked.', 1),
    ('"Run!" he shouted. They ran.', 2),
    ("It costs $3.99. Buy it.", 2),
    ("He was born on Jan. 5, 1990. He is tall.", 2),
    ("I think, therefore I am...", 1),
    ("Water boils at 100 °C. Ice melts at 0 °C.", 2),
    ("Yahoo! is a company. It is old.", 2),
    ("J.K. Rowling wrote it. George R. R. Martin did not.", 2),
    ("It is 3 a.m. now. Go to bed.", 2),
    ("The U.K. and the U.S.A. signed it.", 1),
    ("Plants need light, i.e. energy. They grow.", 2),
    ("[It is short.] Yes.", 2),
    ("It rains (as it often does here). We stay in.", 2),
    ("He said it was late. (It was.) We left.", 3),
    ("First, mix. Second, stir. Third, bake.", 3),
    ("今日は雨です。傘を持って行きましょう！いいですか？", 3),
    ("你好。我是助手。", 2),
    ("यह एक किताब है। वह एक कलम है।", 2),
    ("¿Qué es esto? Es un libro. ¡Qué bien!", 3),
    ("هذا كتاب. ما هذا؟ إنه قلم.", 3),
    ("Dogs bark; cats meow; birds sing.", 1),
    ("Python 3.12 is out. Use pip 24.0 for it.", 2),
    ("Visit www.example.com. It is free.", 2),
    ("Mt. Everest is high. Lake Superior is deep.", 2),
    ("Sleep is vital!\nIt heals.\nIt calms.", 3),
    ("Note: dogs bark. Cats do not.", 2),
    ("It is hot. 🎉 Go out. 🎉", 2),
    ("He lives in Washington D.C. with his dog.", 1),
    ("Approximately 3.5 mil. people. Yes, really.", 2),
    ("Smith et al. found it. Others did not.", 2),
    ("Smith et al. (2001) found it.", 1),
    ("Cf. Smith for more.", 1),
    ("It holds approx. two liters.", 1),
    ("Max. 5 people. Min. 2 people.", 2),
    ("I like tea, coffee, etc. but not milk.", 1),
    ("Sen. Brown and Rep. Green agreed. The bill passed.", 2),
    ("It is 6 ft. tall. It is 3 in. wide.", 2),
    ("One. Two. Three.", 3),
    ("Hello there.How are you?", 2),
    ("Yes.", 1),
    ('He asked, "Why?" I said, "Because."', 2),
    ("**It works.** Try it.", 2),
    ("It works.[1] Try it.[2]", 2),
    ("Was it Dr. No? It was.", 2),
    ("Vitamin D. It is good.", 2),
    ("Plan B. Go.", 2),
    ("The temp. is 5 degrees.", 1),
    ("The govt. and the dept. agree.", 1),
    ("In 1999 A.D. it began.", 1),
    ("It dates to 300 B.C. and is old.", 1),
    ("He left at 5 p.m. She stayed.", 2),
]
# What `sentences` gets wrong, so that its docstring stays true (text, what it says, the truth).
KNOWN_ERRORS = [
    ("The comm. said so.", 2, 1),
]


def by_pattern(text: str) -> int:
    """What one would write without a library."""
    parts = re.split(r"(?<=[.!?])\s+", text.strip())
    return sum(1 for part in parts if any(c.isalnum() or c == "." for c in part))


@pytest.mark.parametrize(("text", "count"), SENTENCES)
def test_sentences(text: str, count: int) -> None:
    assert len(sentences(text)) == count, sentences(text)


def test_a_pattern_would_err_on_a_third_of_the_table() -> None:
    """Why there is a library: were this to fail, the dependency could go."""
    wrong = [text for text, count in SENTENCES if by_pattern(text) != count]
    assert len(wrong) > len(SENTENCES) / 3, wrong


@pytest.mark.parametrize(("text", "said", "truth"), KNOWN_ERRORS)
def test_known_errors_of_sentences(text: str, said: int, truth: int) -> None:
    assert len(sentences(text)) == said != truth


SENTENCE = st.sampled_from(
    ["Rivers flow to the sea.", "Is it true?", "What a day!", "Dr. Ray has 3.5 cats.", "We use v1.2, e.g. today."]
)


@given(st.lists(SENTENCE, max_size=12), st.sampled_from([" ", "\n", "\n\n", "\n- "]))
def test_the_count_of_a_text_is_the_sum_of_its_parts(parts: list[str], joint: str) -> None:
    assert sentences(joint.join(parts)) == parts


@given(st.text(max_size=200))
@example("half a pair: \ud83c. Next.")
@example("0\x1e|")  # a line of marks alone
def test_any_text_can_be_read(text: str) -> None:
    assert len(sentences(text)) <= len(text)
    assert count_words(text) <= len(text)
    assert all(item.strip() for item in list_items(text))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("don't stop: well-known 3.5 v3.11.7", 5),
        ("**bold** and `code`", 3),
        ("- one\n- two", 2),
        ("[the docs](https://example.com/a/b) say so", 4),
        ("```\nx = y\n```", 2),
        ("黑洞是天体", 5),
        ("hello我是Kuro", 4),
        ("🎉 — ... !", 0),
        ("", 0),
    ],
)
def test_words(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("## A *b* __c__ **d**", "A b c d"),
        ("1. [x](http://a.b) and ![y](c.png)", "x and y"),
        ("- [x] done\n- [ ] open", "done\nopen"),
        ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
        ("Title\n=====\nText", "Title\nText"),
        ("> - a\n> `B` c", "a\nB c"),
    ],
)
def test_markdown_is_stripped(text: str, plain: str) -> None:
    assert strip_markdown(text) == plain


def test_code_blocks_are_told_from_prose() -> None:
    text = "Look:\n```python\n# no heading\n\nx = 1\n```\n```\ny\n```\nDone.\n~~~\nunclosed"
    assert [(block.text, block.is_code) for block in blocks(text)] == [
        ("Look:", False),
        ("# no heading\n\nx = 1", True),
        ("y", True),
        ("Done.", False),
        ("unclosed", True),
    ]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Here they are:\n1. apple\n2. pear\n3. fig", ["apple", "pear", "fig"]),
        ("Steps: 1. mix it 2. bake it", ["mix it", "bake it"]),
        ("1. Fruit\n   - apple\n   - pear\n2. Bread", ["Fruit", "Bread"]),
        ("1. Mix\n- gently\n- slowly\n- calmly\n2. Bake", ["Mix", "Bake"]),
        ("- a\n  - b\n- c", ["a", "c"]),
        ("1. a\n1. b\n1. c", ["a", "b", "c"]),
        ("- a\n- A\n- b", ["a", "b"]),
        ("1. a\n2. a\n3. a", ["a"]),
        ("Sure, here you go:\nred\nblue\ngreen", ["red", "blue", "green"]),
        ("1\n2\n3", ["1", "2", "3"]),
        ("The fruits are: apple, pear, and fig.", ["apple", "pear", "fig"]),
        ("Day 1: rest\nDay 2: run", ["rest", "run"]),
        ("# Colors\nred\ngreen", ["red", "green"]),
        ("1. a cake of 5. eggs\n2. a pie", ["a cake of 5. eggs", "a pie"]),
        ("I would rather not.", []),
        ("", []),
    ],
)
def test_list_items(text: str, items: list[str]) -> None:
    assert list_items(text) == items
