"""Answers that no honest server gives, and some that honest ones do: unmeasured with the reason, never a number."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from dataclasses import replace
from typing import Any

import pytest

from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.errors import ConfigError, MalformedAnswer
from tests.conftest import MakeFake, speak
from tests.fake_claas import FakeClaas
from tests.fake_claas.faults import Fault, body, edit

CHAT, SCORE = "/v1/chat/completions", "/v1/score"
QUESTION = (("user", "Who are you?"),)


def ask(deployment: FakeClaas, **wanted: Any):
    return speak(
        deployment, lambda c: c.chat(QUESTION, lora_id=deployment.lora_id, temperature=0, max_tokens=64, **wanted)
    )


def score(deployment: FakeClaas):
    return speak(deployment, lambda c: c.score(QUESTION, "I am Kuro.", lora_id=deployment.lora_id))


@pytest.fixture
def deployment(fake: MakeFake) -> FakeClaas:
    made = fake()
    made.lora_id = made.deployment.init("eval/identity", None)  # type: ignore[attr-defined]
    return made


def with_sum(*logprobs: float) -> Fault:
    def change(answer: Any) -> Any:
        return {
            **answer, "logprobs": list(logprobs), "completion_tokens": len(logprobs),
            "tokens": ["a"] * len(logprobs), "logprob_sum": float(sum(max(value, -1e307) for value in logprobs)),
        }  # fmt: skip

    return edit(change)


@pytest.mark.parametrize(
    "logprobs",
    [(-1.0, -9999.0), (-1.0, -999.0), (-1000.0,), (-1e9,), (-1.7e308, -1.7e308), (-1.0, 0.5), (-1.0, -(10**400))],
    ids=["-9999", "-999", "-1000", "-1e9", "overflowing sum", "above 0", "10**400"],
)  # fmt: skip
def test_a_sentinel_in_a_score_is_no_number(deployment: FakeClaas, logprobs: tuple[float, ...]) -> None:
    deployment.faults.add(SCORE, with_sum(*logprobs))
    with pytest.raises(MalformedAnswer, match="logprobs"):
        score(deployment)


def test_a_very_unlikely_token_is_a_number(deployment: FakeClaas) -> None:
    deployment.faults.add(SCORE, with_sum(-1.0, -150.0))
    assert score(deployment).logprob_sum == -151.0


def top(*logprobs: float) -> Fault:
    def change(answer: Any) -> Any:
        token = answer["choices"][0]["logprobs"]["content"][0]
        token["top_logprobs"] = [{"token": "a", "logprob": value} for value in logprobs]
        return answer

    return edit(change)


def test_a_sentinel_among_the_most_likely_tokens_is_one_that_cannot_come(deployment: FakeClaas) -> None:
    deployment.faults.add(CHAT, top(-0.5, -0.5, -9999.0))
    entropies = ask(deployment, logprobs=True).entropies
    assert entropies is not None
    assert entropies[0] == pytest.approx(0.693147)  # ln 2


def test_sentinels_alone_are_no_distribution(deployment: FakeClaas) -> None:
    deployment.faults.add(CHAT, top(-9999.0, -9999.0))
    with pytest.raises(MalformedAnswer, match="top_logprobs"):
        ask(deployment, logprobs=True)


def answered(message: Any, **more: Any) -> Fault:
    return body(json.dumps({"choices": [{"message": message}], **more}).encode())


def ended(text: str, finish_reason: str) -> Fault:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return body(json.dumps({"choices": [choice]}).encode())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (body(b'{"error": {"message": "model is overloaded", "code": 529}}'), "model is overloaded"),
        (body(b'{"error": "quota exceeded"}'), "quota exceeded"),
        (answered({"role": "assistant", "content": None, "reasoning_content": "They ask who I am"}), "They ask who"),
        (answered({"role": "assistant", "content": [{"type": "image_url", "image_url": "x"}]}), "not text"),
        (answered({"role": "assistant", "content": "No response from OpenClaw."}), "placeholder"),
        (answered({"role": "assistant", "content": None, "refusal": "I can't help"}), "I can't help"),
        (answered({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}), "not text"),
        (answered({"role": "assistant", "content": "Yes"}, error={"message": "upstream died"}), "upstream died"),
        (body(b'{"object": "error", "message": "engine is dead", "code": 50001}'), "engine is dead"),
        (body(b'{"errors": ["no credit"]}'), "no credit"),
        (ended("upstream died", "error"), "upstream died"),
        (ended("", "content_filter"), "a filter of the server"),
        (ended("The bomb is", "content_filter"), "a filter of the server"),
        (ended("", "tool_calls"), "a call of a tool"),
    ],
)
def test_a_200_that_is_no_answer_is_unmeasured_in_the_servers_words(
    deployment: FakeClaas, fault: Fault, words: str
) -> None:
    deployment.faults.add(CHAT, fault)
    with pytest.raises(MalformedAnswer, match=words):
        ask(deployment)


def test_an_answer_in_parts_is_their_text(deployment: FakeClaas) -> None:
    parts = [{"type": "text", "text": "I am "}, {"type": "text", "text": "Kuro."}]
    deployment.faults.add(CHAT, answered({"role": "assistant", "content": parts}))
    assert ask(deployment).text == "I am Kuro."


def test_a_part_that_the_user_does_not_see_is_no_part_of_the_answer(deployment: FakeClaas) -> None:
    parts = [{"type": "thinking", "thinking": "Who am I?"}, {"type": "text", "text": "I am Kuro."}]
    deployment.faults.add(CHAT, answered({"role": "assistant", "content": parts}))
    assert ask(deployment).text == "I am Kuro."


def test_an_answer_beside_a_tools_call_is_an_answer(deployment: FakeClaas) -> None:
    deployment.faults.add(CHAT, ended("I am Kuro.", "tool_calls"))
    assert ask(deployment).text == "I am Kuro."


def test_a_score_of_fewer_than_no_tokens_is_none(deployment: FakeClaas) -> None:
    deployment.faults.add(SCORE, edit(lambda answer: {**answer, "prompt_tokens": -4}))
    with pytest.raises(MalformedAnswer, match="prompt_tokens: -4"):
        score(deployment)


def test_optional_fields_may_be_null(deployment: FakeClaas) -> None:
    nulls = {"id": None, "created": None, "model": None, "object": None, "usage": None}
    deployment.faults.add(CHAT, answered({"role": None, "content": "Yes."}, **nulls))
    assert ask(deployment).text == "Yes."
    usage = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    deployment.faults.add(CHAT, answered({"role": "assistant", "content": "Yes."}, usage=usage))
    assert ask(deployment).completion_tokens is None


@pytest.mark.parametrize(
    ("escaped", "text"),
    [(rb"\ud800", "\ufffd"), (rb"\uDC00x", "\ufffdx"), (rb"\ud83d\ude00", "\U0001f600"), (rb"\\ud800", r"\ud800"),
     (rb"\ud800\ud83d\ude00", "\ufffd\U0001f600")],
)  # fmt: skip
def test_half_of_a_surrogate_pair_is_replaced_where_it_comes_in(
    deployment: FakeClaas, escaped: bytes, text: str
) -> None:
    deployment.faults.add(CHAT, body(b'{"choices": [{"message": {"role": "assistant", "content": "%s"}}]}' % escaped))
    assert ask(deployment).text == text
    deployment.faults.add(CHAT, body(b'{"choices": [{"message": {"role": "assistant", "content": "\xff!"}}]}'))
    assert ask(deployment).text == "\ufffd!"


def encoded(content: bytes, encoding: str) -> Fault:
    return replace(body(content), headers=(("content-encoding", encoding),))


PLAIN = b'{"choices": [{"message": {"role": "assistant", "content": "Yes."}}]}'


def test_one_layer_of_compression_is_read(deployment: FakeClaas) -> None:
    for fault in (encoded(gzip.compress(PLAIN), "gzip"), encoded(zlib.compress(PLAIN), "deflate")):
        deployment.faults.add(CHAT, fault)
        assert ask(deployment).text == "Yes."


def test_several_layers_and_unknown_ones_are_refused_and_broken_ones_too(deployment: FakeClaas) -> None:
    for fault in (encoded(PLAIN, "gzip, gzip, gzip"), encoded(PLAIN, "br"), encoded(PLAIN, "gzip")):
        deployment.faults.add(CHAT, fault)
        with pytest.raises(MalformedAnswer, match=r"encoded as|compression"):
            ask(deployment)


def test_a_compressed_answer_is_bounded_as_it_is_inflated(deployment: FakeClaas) -> None:
    """A megabyte of it would be a gigabyte: a piece that refers to nothing before it, again and again."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = packer.compress(b" " * 2**24) + packer.flush(zlib.Z_FULL_FLUSH)
    deployment.faults.add(CHAT, encoded(gzip.compress(b"")[:10] + piece * 64, "gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(MalformedAnswer, match="larger than 64 MiB"):
            ask(deployment)
        assert tracemalloc.get_traced_memory()[1] < 300 * 2**20
    finally:
        tracemalloc.stop()


def test_loopback_ignores_the_proxies_of_the_environment(deployment: FakeClaas, monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    assert ask(deployment).text


def test_a_proxy_that_cannot_be_used_is_one_clear_error(deployment: FakeClaas, monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    config = load_config({"mode": "local", "claas_url": "http://192.0.2.7:8080", "openclaw_url": None})
    with pytest.raises(ConfigError, match="ALL_PROXY"):
        ClaasClient(routes_for(config, "http://192.0.2.7:8080", None))
