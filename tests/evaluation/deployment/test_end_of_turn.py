"""The end of turn that a template adds to a scored answer is told from the answer."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.config import LoraConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.end_of_turn import end_of_turn
from tests.conftest import speak


@pytest.mark.parametrize(
    ("tokens", "completion", "added"),
    [
        (["The", " sea", ".", "<|im_end|>", "\n"], "The sea.", 2),
        (["The", "Ġsea", ".", "<|eot_id|>"], "The sea.", 1),
        (["▁The", "▁sea", ".", "</s>"], "The sea.", 1),
        (["The", " sea", ".", "<end_of_turn>", "\n"], "The sea.", 2),
        (["The", "Ġsea", ".", "<｜end▁of▁sentence｜>"], "The sea.", 1),
        (["The", " sea", "."], "The sea.", 0),
        (["a", " <br>"], "a <br>", 0),
        (["The", " sea", "?!?"], "The sea.", None),
        ([], "The sea.", None),
    ],
)
def test_the_suffix_is_counted(tokens, completion, added):
    assert end_of_turn(tokens, completion) == added


def test_a_score_says_which_of_its_tokens_end_the_turn(fake):
    running = fake("local")

    async def score(client: ClaasClient):
        adapter = await client.init_adapter("eval/identity-x", "", LoraConfig())
        return await client.score([("user", "The sea?")], "It is wide.", lora_id=adapter)

    assert speak(running, score).end_of_turn == 1
