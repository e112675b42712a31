"""Chat, text completion and scoring: hand the work to the engine, wrap what comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from claas_assets import wire
from claas_assets.stack import streaming
from claas_assets.stack.completions import Completion
from claas_assets.stack.engine import Generation
from claas_assets.stack.sampling import Sampler
from claas_assets.stack.state import State, new_id
from claas_assets.stack.text import ChatText, PromptError

DEFAULT_MAX_TOKENS = 1024
DISCONNECT_POLL_S = 1.0  # how often a waiting answer looks whether its client is still there


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _plain_message(value: Any) -> Any:
    """OpenAI's other spellings: content as a list of text parts, the developer role."""
    if not isinstance(value, dict):
        return value
    content = value.get("content")
    if isinstance(content, list):
        content = "".join(_part_text(part) for part in content)
    role = "system" if value.get("role") == "developer" else value.get("role")
    return {**value, "role": role, "content": "" if content is None else content}


def _part_text(part: Any) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise ValueError(f"a content part of type {kind!r} is not served: text parts alone")


Message = Annotated[wire.ChatMessage, BeforeValidator(_plain_message)]
Stop = Annotated[list[str] | None, BeforeValidator(_as_list)]
CHAT_UNSERVED: dict[str, tuple[Any, ...]] = {
    "tools": (), "tool_choice": ("none", "auto"), "functions": (), "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},), "n": (1,), "audio": (),
}  # fmt: skip
TEXT_UNSERVED: dict[str, tuple[Any, ...]] = {
    "stream": (False,), "echo": (False,), "logprobs": (), "n": (1,), "best_of": (1,), "suffix": (),
}  # fmt: skip
"""What OpenAI's API has and this server has not, with the values beside null that ask for nothing."""


def _check_served(body: BaseModel, unserved: dict[str, tuple[Any, ...]]) -> None:
    """400 for a feature that would be ignored."""
    for name, nothing in unserved.items():
        asked = (body.model_extra or {}).get(name)
        if asked not in (None, [], *nothing):
            raise HTTPException(400, f"{name!r} is not served by this stack; got {asked!r:.100}")


def _without_null(values: Any) -> Any:
    """OpenAI's `null` means the default."""
    return {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values


class ChatRequest(wire.ChatCompletionRequest):
    """The wire's request, with what OpenAI clients send besides."""

    messages: list[Message] = Field(min_length=1)
    stop: Stop = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream_options: dict[str, Any] | None = None

    _nulls = model_validator(mode="before")(_without_null)

    @property
    def token_limit(self) -> int | None:
        """The newer of OpenAI's two names wins."""
        return self.max_completion_tokens or self.max_tokens


class TextRequest(wire.CompletionRequest):
    stop: Stop = None

    _nulls = model_validator(mode="before")(_without_null)


def router(state: State) -> APIRouter:
    routes = APIRouter()
    engine = state.engine

    @routes.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest, http: Request) -> wire.ChatCompletionResponse | StreamingResponse:
        _check_served(body, CHAT_UNSERVED)
        if body.stream and body.logprobs:
            raise HTTPException(400, "'logprobs' are not served in a stream by this stack")
        lora_id, messages = state.adapter_of(body.model), _messages(body.messages)
        prompt = await _tokens(state, lambda text: text.prompt(messages), sum(len(m["content"]) for m in messages))
        top = (body.top_logprobs or 0) if body.logprobs else 0
        request = Generation(
            prompt_ids=prompt,
            lora_id=lora_id,
            max_tokens=_room(state, len(prompt), body.token_limit),
            sampler=Sampler.make(body.temperature, body.top_p, top, body.seed),
            stop=[stop for stop in body.stop or [] if stop],
        )
        if body.stream:
            usage = bool((body.stream_options or {}).get("include_usage"))
            events = _stream(state, request, messages, body.model, usage)
            return StreamingResponse(events, media_type="text/event-stream")
        done = await _generated(state, request, http)
        _remember(state, done, messages)
        return _chat_response(state, done, body)

    @routes.post("/v1/completions")
    async def complete(body: TextRequest, http: Request) -> wire.CompletionResponse:
        _check_served(body, TEXT_UNSERVED)
        lora_id = state.adapter_of(body.model)
        prompt = await _tokens(state, lambda text: text.encode(body.prompt), len(body.prompt))
        request = Generation(
            prompt_ids=prompt,
            lora_id=lora_id,
            max_tokens=_room(state, len(prompt), body.max_tokens),
            sampler=Sampler.make(body.temperature, body.top_p, 0, body.seed),
            stop=[stop for stop in body.stop or [] if stop],
        )
        done = await _generated(state, request, http)
        choice = wire.CompletionChoice(text=done.text, finish_reason=done.finish_reason)
        return wire.CompletionResponse(
            id=new_id("cmpl"),
            created=int(time.time()),
            model=body.model,
            choices=[choice],
            usage=_usage(done),
        )

    @routes.post("/v1/score")
    async def score(body: wire.ScoreRequest) -> wire.ScoreResponse:
        lora_id, messages = state.adapter_of(body.model), _messages(body.messages)
        prompt = await _tokens(state, lambda text: text.prompt(messages), sum(len(m["content"]) for m in messages))
        completion = await _tokens(state, lambda text: text.completion(body.completion), len(body.completion))
        _room(state, len(prompt), len(completion))
        logprobs = await asyncio.wrap_future(engine.score(prompt, completion, lora_id))
        return wire.ScoreResponse(
            logprobs=logprobs,
            tokens=[engine.text.token(token_id) for token_id in completion],
            prompt_tokens=len(prompt),
            completion_tokens=len(completion),
            logprob_sum=sum(logprobs),
        )

    return routes


async def _tokens(state: State, tokenize: Callable[[ChatText], list[int]], characters: int) -> list[int]:
    """Token ids, made off the event loop, which must go on answering; 400 where they cannot fit."""
    text = state.engine.text
    if characters > state.engine.context * text.longest_token:
        raise _too_long(state, f"more than {characters // text.longest_token}")
    return await asyncio.to_thread(tokenize, text)


async def _generated(state: State, request: Generation, http: Request) -> Generation:
    """What was generated; a client that goes away frees its place."""
    future = asyncio.wrap_future(state.engine.generate(request))
    try:
        while not (await asyncio.wait([future], timeout=DISCONNECT_POLL_S))[0]:
            if await http.is_disconnected():
                raise HTTPException(499, "the client closed the connection")
        return future.result()
    finally:
        request.cancelled = True


def _messages(messages: list[wire.ChatMessage]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _room(state: State, prompt_tokens: int, wanted: int | None) -> int:
    """Tokens that may be generated; 400 where the context is too long."""
    context = state.engine.context
    least = wanted or 1
    if prompt_tokens == 0:
        raise PromptError("the prompt is empty")
    if prompt_tokens + least > context:
        raise _too_long(state, f"{prompt_tokens + least}: {prompt_tokens} of the prompt and {least} of the completion")
    return wanted or min(DEFAULT_MAX_TOKENS, context - prompt_tokens)


def _too_long(state: State, requested: str) -> HTTPException:
    context = state.engine.context
    return HTTPException(400, f"This model's maximum context length is {context} tokens; requested were {requested}.")


def _remember(state: State, done: Generation, messages: list[dict[str, str]]) -> None:
    token_ids = [sampled.token_id for sampled in done.sampled]
    logprobs = [sampled.logprob for sampled in done.sampled]
    state.completions.put(done.text, Completion(messages, done.prompt_ids, token_ids, logprobs))


def _chat_response(state: State, done: Generation, body: ChatRequest) -> wire.ChatCompletionResponse:
    message = wire.AnswerMessage(content=wire.strip_thinking(done.text))
    choice = wire.ChatChoice(message=message, finish_reason=done.finish_reason)
    if body.logprobs:
        choice.logprobs = wire.ChoiceLogprobs(content=_token_logprobs(state, done))
    return wire.ChatCompletionResponse(
        id=new_id("chatcmpl"),
        created=int(time.time()),
        model=body.model,
        choices=[choice],
        usage=_usage(done),
    )


def _token_logprobs(state: State, done: Generation) -> list[wire.TokenLogprob]:
    """One entry per sampled token, the end of turn included."""
    name = state.engine.text.token
    entries = []
    for sampled in done.sampled:
        top = [_top_logprob(name(token_id), logprob) for token_id, logprob in sampled.top]
        text = name(sampled.token_id)
        entries.append(
            wire.TokenLogprob(token=text, logprob=sampled.logprob, bytes=list(text.encode()), top_logprobs=top)
        )
    return entries


def _top_logprob(text: str, logprob: float) -> wire.TopLogprob:
    return wire.TopLogprob(token=text, logprob=logprob, bytes=list(text.encode()))


def _usage(done: Generation) -> wire.Usage:
    prompt, completion = len(done.prompt_ids), len(done.sampled)
    return wire.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


async def _stream(
    state: State, request: Generation, messages: list[dict[str, str]], model: str, include_usage: bool
) -> AsyncIterator[str]:
    """The answer as server-sent events; a client that goes away frees its place."""
    loop = asyncio.get_running_loop()
    texts: asyncio.Queue[str | None] = asyncio.Queue()
    request.on_text = lambda text: _post(loop, texts, text)
    chunks = streaming.Chunks(new_id("chatcmpl"), model)
    future = state.engine.generate(request)
    future.add_done_callback(lambda _: _post(loop, texts, None))
    state.begin_request()
    try:
        yield chunks.role()
        while (text := await texts.get()) is not None:
            if event := chunks.text(text):
                yield event
        done = await asyncio.wrap_future(future)
        _remember(state, done, messages)
        for event in chunks.end(done.text, done.finish_reason, _usage(done) if include_usage else None):
            yield event
    finally:
        request.cancelled = True
        state.end_request()


def _post(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None], text: str | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, text)
