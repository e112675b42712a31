"""The CLaaS contract over HTTP, served by one engine.

Each endpoint reads as: find the adapter, hand the work to the engine, wrap what comes back in the
wire's shape. Errors are JSON with a `detail` that says what was wrong and what is allowed.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BeforeValidator, Field

from claas_assets import __version__, wire
from claas_assets.stack import streaming
from claas_assets.stack.adapters import AdapterError, AdapterExistsError, AdapterInfo, UnknownAdapterError
from claas_assets.stack.completions import Completion, CompletionCache
from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.places import canonical_model
from claas_assets.stack.sampling import Sampler
from claas_assets.stack.text import PromptError
from claas_assets.stack.trainer import Rollout, TrainingReport

DEFAULT_MAX_TOKENS = 1024
LOCK_WAIT_S = 120.0  # how long a feedback call waits for another update of its adapter


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _plain_message(value: Any) -> Any:
    """OpenAI's other spellings: content as a list of text parts, the developer role."""
    if not isinstance(value, dict):
        return value
    content = value.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    role = "system" if value.get("role") == "developer" else value.get("role")
    return {**value, "role": role, "content": "" if content is None else content}


Message = Annotated[wire.ChatMessage, BeforeValidator(_plain_message)]
Stop = Annotated[list[str] | None, BeforeValidator(_as_list)]


class ChatRequest(wire.ChatCompletionRequest):
    """The wire's request, with what OpenAI clients send besides."""

    messages: list[Message] = Field(min_length=1)
    stop: Stop = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream_options: dict[str, Any] | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens or self.max_completion_tokens


class TextRequest(wire.CompletionRequest):
    stop: Stop = None


@dataclass
class State:
    """What the endpoints share."""

    engine: Engine
    base_model: str
    completions: CompletionCache = field(default_factory=CompletionCache)
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    lock_wait_s: float = LOCK_WAIT_S
    last_request: float = field(default_factory=time.monotonic)  # monotonic seconds
    running: int = 0  # requests that are being answered

    def idle_s(self) -> float:
        """Seconds since the last answer, 0 while one is being made."""
        return 0.0 if self.running else time.monotonic() - self.last_request


def create_app(engine: Engine, base_model: str) -> FastAPI:
    """The application; `app.state.stack` holds its `State`."""
    app = FastAPI(title="CLaaS, embedded", version=__version__)
    state = State(engine, canonical_model(base_model))
    app.state.stack = state
    _count_requests(app, state)
    _map_errors(app)
    _add_service(app, state)
    _add_generation(app, state)
    _add_adapters(app, state)
    _add_feedback(app, state)
    return app


def _count_requests(app: FastAPI, state: State) -> None:
    @app.middleware("http")
    async def count(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        state.running += 1
        try:
            return await call(request)
        finally:
            state.running -= 1
            state.last_request = time.monotonic()


def _map_errors(app: FastAPI) -> None:
    codes: dict[type[Exception], int] = {
        UnknownAdapterError: 404,
        AdapterExistsError: 409,
        AdapterError: 422,
        PromptError: 400,
    }
    for kind, code in codes.items():

        def answer(_: Request, error: Exception, code: int = code) -> JSONResponse:
            return JSONResponse({"detail": str(error)}, status_code=code)

        app.add_exception_handler(kind, answer)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=500)


# --- service ------------------------------------------------------------------------------


def _add_service(app: FastAPI, state: State) -> None:
    engine = state.engine

    @app.get("/")
    async def root() -> wire.RootResponse:
        return wire.RootResponse(
            name="CLaaS embedded",
            version=__version__,
            description="A CLaaS server for one machine",
            docs="/docs",
        )

    @app.get("/health")
    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        """Beside the contract's fields: the model, and how requests are kept apart."""
        alive = engine.alive
        return {
            "status": "healthy" if alive else "degraded",
            "worker": {"status": "healthy" if alive else "unhealthy", "error": engine.failure},
            "base_model": state.base_model,
            "version": __version__,
            "determinism": engine.backend.determinism,
        }

    @app.get("/v1/models")
    async def models() -> wire.ModelsResponse:
        names = [state.base_model, *(wire.model_name(lora_id) for lora_id in engine.store.list(""))]
        return wire.ModelsResponse(data=[wire.ModelCard(id=name) for name in names])


# --- generation ---------------------------------------------------------------------------


def _add_generation(app: FastAPI, state: State) -> None:
    engine = state.engine

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest) -> wire.ChatCompletionResponse | StreamingResponse:
        messages = _messages(body.messages)
        top = (body.top_logprobs or 0) if body.logprobs else 0
        request = Generation(
            prompt_ids=engine.text.prompt(messages),
            lora_id=_adapter(state, body.model),
            max_tokens=0,
            sampler=Sampler.make(body.temperature, body.top_p, top, body.seed),
            stop=body.stop or [],
        )
        request.max_tokens = _room(state, len(request.prompt_ids), body.token_limit)
        if body.stream:
            usage = bool((body.stream_options or {}).get("include_usage"))
            events = _stream(state, request, messages, body.model, usage)
            return StreamingResponse(events, media_type="text/event-stream")
        done = await asyncio.wrap_future(engine.generate(request))
        _remember(state, done, messages)
        return _chat_response(state, done, body)

    @app.post("/v1/completions")
    async def complete(body: TextRequest) -> wire.CompletionResponse:
        request = Generation(
            prompt_ids=engine.text.encode(body.prompt),
            lora_id=_adapter(state, body.model),
            max_tokens=0,
            sampler=Sampler.make(body.temperature, body.top_p, 0, body.seed),
            stop=body.stop or [],
        )
        request.max_tokens = _room(state, len(request.prompt_ids), body.max_tokens)
        done = await asyncio.wrap_future(engine.generate(request))
        choice = wire.CompletionChoice(text=done.text, finish_reason=done.finish_reason)
        return wire.CompletionResponse(
            id=_new_id("cmpl"),
            created=int(time.time()),
            model=body.model,
            choices=[choice],
            usage=_usage(done),
        )

    @app.post("/v1/score")
    async def score(body: wire.ScoreRequest) -> wire.ScoreResponse:
        prompt = engine.text.prompt(_messages(body.messages))
        completion = engine.text.completion(body.completion)
        _room(state, len(prompt), len(completion))
        logprobs = await asyncio.wrap_future(engine.score(prompt, completion, _adapter(state, body.model)))
        return wire.ScoreResponse(
            logprobs=logprobs,
            tokens=[engine.text.token(token_id) for token_id in completion],
            prompt_tokens=len(prompt),
            completion_tokens=len(completion),
            logprob_sum=sum(logprobs),
        )


def _messages(messages: list[wire.ChatMessage]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _adapter(state: State, model: str) -> str | None:
    """The adapter that a model name stands for, None for the base model; 404 where it is neither."""
    if canonical_model(model) == state.base_model or wire.model_name(model) == wire.model_name(state.base_model):
        return None
    lora_id = state.engine.store.find(model)
    if lora_id is None:
        raise UnknownAdapterError(
            f"model {model!r} is neither the base model {state.base_model!r} nor an adapter of this stack"
        )
    return lora_id


def _room(state: State, prompt_tokens: int, wanted: int | None) -> int:
    """Tokens that may be generated; 400 where the context is too long."""
    context = state.engine.context
    least = wanted or 1
    if prompt_tokens == 0:
        raise PromptError("the prompt is empty")
    if prompt_tokens + least > context:
        raise HTTPException(
            400,
            f"This model's maximum context length is {context} tokens; requested were "
            f"{prompt_tokens + least}: {prompt_tokens} of the prompt and {least} of the completion.",
        )
    return wanted or min(DEFAULT_MAX_TOKENS, context - prompt_tokens)


def _remember(state: State, done: Generation, messages: list[dict[str, str]]) -> None:
    token_ids = [sampled.token_id for sampled in done.sampled]
    logprobs = [sampled.logprob for sampled in done.sampled]
    state.completions.put(done.text, Completion(messages, done.prompt_ids, token_ids, logprobs))


def _chat_response(state: State, done: Generation, body: ChatRequest) -> wire.ChatCompletionResponse:
    message = wire.ChatMessage(role="assistant", content=wire.strip_thinking(done.text))
    choice = wire.ChatChoice(message=message, finish_reason=done.finish_reason)
    if body.logprobs:
        choice.logprobs = wire.ChoiceLogprobs(content=_token_logprobs(state, done))
    return wire.ChatCompletionResponse(
        id=_new_id("chatcmpl"),
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
    chunks = streaming.Chunks(_new_id("chatcmpl"), model)
    future = state.engine.generate(request)
    future.add_done_callback(lambda _: _post(loop, texts, None))
    state.running += 1
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
        state.running -= 1
        state.last_request = time.monotonic()


def _post(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None], text: str | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, text)


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


# --- adapters -----------------------------------------------------------------------------


def _add_adapters(app: FastAPI, state: State) -> None:
    engine = state.engine

    @app.post("/v1/lora/init")
    async def init(body: wire.LoraInitRequest) -> wire.LoraInitResponse:
        if body.base_model is not None and canonical_model(body.base_model) != state.base_model:
            raise HTTPException(
                403,
                f"base_model {body.base_model!r} is not allowed: this stack serves {state.base_model!r}",
            )
        info: AdapterInfo = await asyncio.wrap_future(
            engine.create_adapter(body.lora_id, body.lora_r, body.lora_alpha, body.target_modules)
        )
        return wire.LoraInitResponse(lora_id=info.lora_id)

    @app.get("/v1/lora")
    async def list_adapters(prefix: str = "") -> wire.LoraListResponse:
        return wire.LoraListResponse(loras=engine.store.list(prefix))

    @app.delete("/v1/lora")
    async def delete(lora_id: Annotated[str, Query()]) -> wire.LoraDeleteResponse:
        deleted = await asyncio.wrap_future(engine.delete_adapter(lora_id))
        return wire.LoraDeleteResponse(deleted=deleted)

    @app.get("/v1/lora/export")
    async def export(lora_id: Annotated[str, Query()]) -> Response:
        content = await asyncio.to_thread(engine.store.export, lora_id)
        headers = {"Content-Disposition": f'attachment; filename="{wire.model_name(lora_id)}.zip"'}
        return Response(content, media_type="application/zip", headers=headers)

    @app.get("/v1/lora/status")
    async def status(lora_id: Annotated[str, Query()]) -> wire.LoraStatusResponse:
        info = engine.store.info(lora_id)
        return wire.LoraStatusResponse(lora_id=info.lora_id, updates=info.updates, base_model=info.base_model)


# --- feedback -----------------------------------------------------------------------------


def _add_feedback(app: FastAPI, state: State) -> None:
    @app.post("/v1/feedback")
    async def feedback(body: wire.FeedbackRequest) -> wire.FeedbackResponse:
        began = time.perf_counter()
        first = body.requests[0]
        if any(i.lora_id != first.lora_id or i.training != first.training for i in body.requests):
            raise HTTPException(400, "all requests of one call need the same lora_id and training")
        info = state.engine.store.info(first.lora_id)
        rollouts = [_rollout(state, item) for item in body.requests]
        lock = state.locks[info.lora_id]
        try:
            await asyncio.wait_for(lock.acquire(), state.lock_wait_s)
        except TimeoutError:
            raise HTTPException(409, f"another update of {info.lora_id!r} is running") from None
        try:
            work = state.engine.train(info.lora_id, rollouts, first.training)
            # Shielded: a client that goes away must not free the lock while training goes on.
            report: TrainingReport = await asyncio.shield(asyncio.wrap_future(work))
        except UnknownAdapterError:
            raise
        except Exception as error:
            raise HTTPException(500, f"training failed: {type(error).__name__}: {error}") from error
        finally:
            lock.release()
        return _feedback_response(state, info.lora_id, rollouts, report, began)


def _rollout(state: State, item: wire.FeedbackItem) -> Rollout:
    """What was sampled for a feedback item's answer, with its teacher's prompt."""
    text = state.engine.text
    found = state.completions.get(item.response)
    if found is None:
        raise HTTPException(
            404,
            "no cached completion for this response: feedback must follow its chat completion within "
            f"an hour and 100 completions. Response: {item.response[:80]!r}",
        )
    if not found.has_system_message:
        raise HTTPException(422, "the chat request of this response had no system message")
    hindsight = "\n\n".join([item.feedback] * item.training.feedback_repetitions)
    teacher = text.prompt(with_hindsight(found.messages, hindsight))
    if len(teacher) + len(found.token_ids) > state.engine.context:
        raise HTTPException(
            400, f"prompt, feedback and response exceed the maximum context length {state.engine.context}"
        )
    return Rollout(found.prompt_ids, teacher, found.token_ids, found.logprobs)


def with_hindsight(messages: list[dict[str, str]], feedback: str) -> list[dict[str, str]]:
    """The messages with the feedback after the prompt, in the last user turn."""
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=len(messages) - 1)
    changed = {**messages[last], "content": f"{messages[last]['content']}\n\n{feedback}"}
    return [*messages[:last], changed, *messages[last + 1 :]]


def _feedback_response(
    state: State, lora_id: str, rollouts: list[Rollout], report: TrainingReport, began: float
) -> wire.FeedbackResponse:
    means = {name: sum(step[name] for step in report.steps) / len(report.steps) for name in report.steps[0]}
    metadata: dict[str, Any] = {
        **means,  # over the updates of this call
        "tokens_processed": report.tokens,
        "batch_size": len(rollouts),
        "steps_per_batch_applied": len(report.steps),
        "per_step_metrics": report.steps,
        "updates": report.updates,
        "teacher_scored_texts": [state.engine.text.decode(r.teacher_prompt_ids + r.token_ids) for r in rollouts],
    }
    timing = {
        "teacher": report.teacher_ms,
        "update": report.update_ms,
        "total": 1e3 * (time.perf_counter() - began),
    }
    return wire.FeedbackResponse(
        status="ok",
        request_id=_new_id("feedback"),
        lora_id=lora_id,
        distill_result=wire.DistillResult(lora_id=lora_id, metadata=metadata),
        timing_ms=timing,
        batch_size=len(rollouts),
    )
