"""What a mode and a gateway change: one table, and the token that must not be seen."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.config import MODES, EvalConfig, load_config
from claas_assets.evaluation.deployment.routes import ENGINES, Routes, routes_for
from claas_assets.evaluation.errors import ConfigError
from claas_assets.wire import DEFAULT_SYSTEM_PROMPT

CLAAS = "http://claas.test:8080"
GATEWAY = "http://gateway.test:18789"
QUESTION = [("user", "Who are you?")]


def config_of(mode: str, gateway_url: str | None = None) -> EvalConfig:
    return load_config({"mode": mode, "claas_url": CLAAS, "openclaw_url": gateway_url})


def direct(mode: str) -> Routes:
    return routes_for(config_of(mode), CLAAS, None)


def through_gateway(mode: str, token: str = "s3cret") -> Routes:
    return routes_for(config_of(mode, GATEWAY), CLAAS, token)


def as_pairs(routes: Routes) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in routes.messages(QUESTION)]


@pytest.mark.parametrize("mode", MODES)
def test_directly_chat_names_the_adapter_and_begins_with_a_system_message(mode: str) -> None:
    routes = direct(mode)
    assert routes.chat_url == f"{CLAAS}/v1/chat/completions"
    assert routes.chat_model("/eval/identity 1/") == "eval-identity-1"
    assert routes.chat_headers("eval/x") == {}
    assert as_pairs(routes) == [("system", DEFAULT_SYSTEM_PROMPT), *QUESTION]


@pytest.mark.parametrize("mode", MODES)
def test_through_a_gateway_chat_goes_there_bare_and_scoring_does_not(mode: str) -> None:
    routes = through_gateway(mode)
    assert routes.chat_url == f"{GATEWAY}/v1/chat/completions"
    assert routes.claas_url == CLAAS
    assert routes.chat_model("eval/identity") == "openclaw"
    named = {} if mode == "tinker" else {"x-openclaw-model": "eval-x"}  # there the one sampler decides
    assert routes.chat_headers("/eval/x") == {"Authorization": "Bearer s3cret", **named}
    assert as_pairs(routes) == QUESTION


def test_a_system_message_of_the_probe_itself_takes_the_default_ones_place() -> None:
    sent = direct("local").messages([("system", "Be a pirate."), *QUESTION])
    assert [message.content for message in sent] == ["Be a pirate.", "Who are you?"]


def test_only_tinker_has_one_sampler_and_no_logprobs() -> None:
    assert {mode for mode in MODES if direct(mode).engine.one_sampler} == {"tinker"}
    assert {mode for mode in MODES if direct(mode).logprobs_unavailable} == {"tinker"}
    assert {mode for mode in MODES if direct(mode).engine.serialize_feedback} == {"local", "tinker"}


@pytest.mark.parametrize("mode", MODES)
def test_no_engine_gives_logprobs_through_a_gateway(mode: str) -> None:
    reason = through_gateway(mode).logprobs_unavailable
    assert reason is not None
    assert "gateway" in reason


def test_every_mode_has_an_engine_with_a_hint_what_to_start() -> None:
    assert set(ENGINES) == set(MODES)
    assert all(engine.start_hint for engine in ENGINES.values())


def test_a_slash_at_the_end_of_an_address_is_not_doubled() -> None:
    assert routes_for(config_of("local"), f"{CLAAS}/", None).chat_url == f"{CLAAS}/v1/chat/completions"


def test_the_token_is_in_no_repr_and_dropped_without_a_gateway() -> None:
    assert "s3cret" not in repr(through_gateway("local"))
    assert routes_for(config_of("local"), CLAAS, "s3cret").token is None


def test_a_gateway_without_a_token_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="OPENCLAW_GATEWAY_TOKEN"):
        routes_for(config_of("local", GATEWAY), CLAAS, None)


@pytest.mark.parametrize("token", ["s3cret\nX-Evil: 1", "s3c ret", "s3crét", "s3cret\x00"])
def test_a_token_that_cannot_be_a_header_is_refused_unseen(token: str) -> None:
    with pytest.raises(ConfigError, match="OPENCLAW_GATEWAY_TOKEN") as caught:
        through_gateway("local", token)
    assert token not in str(caught.value)
