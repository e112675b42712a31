"""The embedded stack as the official OpenAI client meets it: what it serves, and that it says what it does not.

The client is imported where it is used: it takes a second, and whoever runs another file's tests collects this one too.
"""

from __future__ import annotations

import math

import pytest

from claas_assets.wire import model_name
from tests.stack.conftest import MESSAGES
from tests.stack.test_server import feedback, init, item

ASK = [{"role": "user", "content": "Who are you?"}]


def spoken_to(application, model):
    """The official client on the application in this process, and the model's name."""
    import openai

    return openai.OpenAI(base_url="http://localhost/v1", api_key="none", http_client=application, max_retries=0), model


@pytest.fixture
def ask(client, tiny_model):
    return spoken_to(client, str(tiny_model))


@pytest.fixture
def ask_in_vain(refusing, tiny_model):
    return spoken_to(refusing, str(tiny_model))


def refused(call, **fields):
    """The 400 as the client raises it."""
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        call(**fields)
    return caught.value


def test_chat_streams_and_counts(ask):
    client, model = ask
    whole = client.chat.completions.create(model=model, messages=ASK, max_tokens=12, seed=1, logprobs=True)
    assert whole.created > 0
    assert whole.usage.completion_tokens == len(whole.choices[0].logprobs.content) <= 12
    events = list(
        client.chat.completions.create(
            model=model, messages=ASK, max_tokens=12, seed=1, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert text == whole.choices[0].message.content
    assert events[-1].usage == whole.usage


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n": 2}, "'n'"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "'tools'"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "'tools'"),
        ({"response_format": {"type": "json_object"}}, "'response_format'"),
        ({"stream": True, "logprobs": True}, "'logprobs'"),
    ],
)
def test_what_chat_does_not_serve_is_refused_by_its_name(ask_in_vain, fields, named):
    client, model = ask_in_vain
    error = refused(client.chat.completions.create, model=model, messages=ASK, max_tokens=4, **fields)
    assert named in error.message
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize("fields", [{"n": 1}, {"response_format": {"type": "text"}}, {"tools": []}])
def test_what_asks_for_nothing_is_served(ask_in_vain, fields):
    client, model = ask_in_vain
    assert client.chat.completions.create(model=model, messages=ASK, max_tokens=4, **fields).choices[0].message.content


def test_tool_choice_without_tools_is_refused_too(ask_in_vain):
    client, model = ask_in_vain
    error = refused(client.chat.completions.create, model=model, messages=ASK, max_tokens=4, tool_choice="required")
    assert "'tool_choice'" in error.message


def test_a_text_part_is_read_and_an_image_part_is_refused(ask):
    import openai

    client, model = ask
    parts = [{"type": "text", "text": "Who are you?"}]
    same = [
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}], max_tokens=8, seed=1, temperature=0
        )
        for content in ("Who are you?", parts)
    ]
    assert same[0].choices[0].message.content == same[1].choices[0].message.content
    image = [*parts, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": image}], max_tokens=4)
    assert caught.value.status_code in (400, 422)
    assert "image_url" in caught.value.message


def test_nulls_and_an_empty_stop_mean_the_default(ask):
    client, model = ask
    fields = {"model": model, "messages": ASK, "max_tokens": 8, "seed": 3}
    plain = client.chat.completions.create(**fields).choices[0].message.content
    nulls = {"temperature": None, "top_p": None, "stop": None, "n": None, "tools": None, "response_format": None}
    assert client.chat.completions.create(**fields, **nulls).choices[0].message.content == plain
    assert client.chat.completions.create(**fields, stop="").choices[0].message.content == plain


def test_of_two_token_limits_the_newer_name_wins(ask):
    client, model = ask
    fields = {"model": model, "messages": ASK, "seed": 1}
    newer = client.chat.completions.create(**fields, max_tokens=20, max_completion_tokens=3)
    assert newer.usage.completion_tokens <= 3
    assert client.chat.completions.create(**fields, max_tokens=3).usage.completion_tokens <= 3


def test_a_model_is_listed_and_retrieved_with_its_owner(ask):
    import openai

    client, model = ask
    (card,) = [card for card in client.models.list() if card.id == model]
    found = client.models.retrieve(model)
    assert found.id == card.id == model
    assert found.created > 0
    assert found.owned_by
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_an_error_has_the_form_that_clients_read_and_ours(ask_in_vain):
    import openai

    client, _ = ask_in_vain
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody", messages=ASK)
    assert "nobody" in caught.value.body["message"]
    assert caught.value.body["type"]
    assert "code" in caught.value.body
    told = caught.value.response.json()
    assert told["detail"] == told["error"]["message"]


def test_a_text_completion(ask):
    client, model = ask
    done = client.completions.create(model=model, prompt="Who are", max_tokens=6, seed=1, temperature=0)
    assert done.choices[0].text
    assert done.usage.completion_tokens <= 6
    again = client.completions.create(
        model=model, prompt="Who are", max_tokens=6, seed=1, temperature=0, stop=None, top_p=None, n=None
    )
    assert again.choices[0].text == done.choices[0].text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stream": True}, "'stream'"),
        ({"echo": True}, "'echo'"),
        ({"logprobs": 3}, "'logprobs'"),
        ({"best_of": 2}, "'best_of'"),
        ({"n": 2}, "'n'"),
        ({"prompt": ["Who", "are"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
    ],
)
def test_what_a_text_completion_does_not_serve_is_refused_by_its_name(ask_in_vain, fields, named):
    import openai

    client, model = ask_in_vain
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(**{"model": model, "prompt": "Who are", "max_tokens": 4, **fields})
    assert caught.value.status_code in (400, 422)
    assert named in caught.value.message


def test_logprobs_are_logprobs(ask):
    client, model = ask
    done = client.chat.completions.create(model=model, messages=ASK, max_tokens=5, logprobs=True, top_logprobs=4)
    for token in done.choices[0].logprobs.content:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 4
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1 + 1e-6


def test_an_adapter_that_was_trained_begins_afresh_when_it_is_initialized_again(client, ask):
    spoken, _ = ask
    lora_id = init(client)

    def said():
        return spoken.chat.completions.create(
            model=model_name(lora_id), messages=MESSAGES, max_tokens=16, temperature=0
        ).choices[0].message.content  # fmt: skip

    untouched = said()
    assert feedback(client, item(lora_id, untouched)).status_code == 200
    assert said() != untouched
    again = client.post("/v1/lora/init", json={"lora_id": lora_id, "lora_r": 4, "lora_alpha": 8})
    assert (again.status_code, again.json()["replaced_updates"]) == (200, 2)
    assert said() == untouched
