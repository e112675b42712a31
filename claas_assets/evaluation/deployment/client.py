"""The one client of a CLaaS deployment: a method per call of the contract, typed answers, errors in words.

    async with ClaasClient(routes_for(config, claas_url, token)) as client:
        lora_id = await client.init_adapter(wanted, config.base_model, config.lora)
        answer = await client.chat((("user", "Who are you?"),), lora_id=lora_id, temperature=0, max_tokens=256)

Which calls are repeated: chat, score and the reading ones, on faults that may pass (`transport.py`).
Init, delete and feedback are sent once: feedback trains, so sent twice it trains twice.

A plain-text 500 to chat or score may be a context too long, an unknown adapter, or a passing fault;
nothing in it tells which. So the same request is repeated a few times first (a passing fault must not
shorten an answer), then smaller budgets are tried (they cure a context that is too long), and what is
left is reported as the ambiguity that it is. A context error that says so is not repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType

import httpx

from claas_assets.evaluation.config import LoraConfig
from claas_assets.evaluation.deployment.gateway import Canary, gateway_advice, is_internal_error
from claas_assets.evaluation.deployment.locks import Slots
from claas_assets.evaluation.deployment.reconnect import Patience
from claas_assets.evaluation.deployment.responses import (
    TOP_LOGPROBS,
    Answer,
    Deployment,
    Score,
    Wire,
    malformed,
    read_answer,
    read_gateway_answer,
    read_score,
    read_wire,
)
from claas_assets.evaluation.deployment.routes import GATEWAY_MODEL, MODEL_HEADER, Routes
from claas_assets.evaluation.deployment.transport import Call, Reply, RetryBudget, Timeouts, Transport
from claas_assets.evaluation.errors import (
    AdapterVanished,
    DeploymentUnhealthy,
    DeploymentUnreachable,
    MalformedAnswer,
    NotTrained,
    OutcomeUnknown,
)
from claas_assets.wire import (
    ChatCompletionRequest,
    ChatMessage,
    FeedbackItem,
    FeedbackRequest,
    FeedbackResponse,
    HealthResponse,
    LoraDeleteResponse,
    LoraInitRequest,
    LoraInitResponse,
    LoraListResponse,
    LoraStatusResponse,
    ModelsResponse,
    Orchestration,
    RootResponse,
    SamplerRefreshRequest,
    SamplerStatusResponse,
    ScoreRequest,
)

SMALLER_BUDGETS = (1024, 512, 256)  # tried in turn where a context is too long
_REPEATS_OF_PLAIN_500 = 2
_MAX_ADAPTER_BYTES = 2**31  # rank 128 on every projection of a model of 30 billion parameters
_COMEBACKS = 5
"""How often one request may find the deployment gone and back: one that ends it, or that alone fails, would go on."""
_NOT_TRAINED = frozenset({400, 403, 404, 422})  # of a feedback call; any other status proves nothing
_TRAINED = frozenset({"ok", "success", "succeeded", "completed", "done"})  # what `status` of a feedback answer may be


class ClaasClient:
    """All requests of one evaluation.

    `max_concurrency` bounds the requests in flight, feedback aside, of all evaluations on this deployment
    together. Where the deployment goes away, requests wait `deployment_timeout_s` seconds for it to come
    back, and `say` hears of it. `locate` finds (or starts) one that may come back at another address; it is
    called in a thread.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        max_concurrency: int = 16,
        retry: RetryBudget | None = None,
        timeouts: Timeouts | None = None,
        deployment_timeout_s: float = 0.0,
        say: Callable[[str], None] = lambda text: None,
        locate: Callable[[], str] | None = None,
    ) -> None:
        self.routes = routes
        self._locate = locate
        self.max_concurrency = max_concurrency
        self._timeouts = timeouts or Timeouts()
        self._slots = Slots(routes.claas_url, max_concurrency)
        self._transport = Transport(
            max_connections=max_concurrency,
            retry=retry or RetryBudget(),
            secret=routes.token,
            proxies=not routes.on_this_machine,
            measures_only=routes.audits,
        )
        self._patience = Patience(deployment_timeout_s, self._claas_answers, say)
        self._gateway_patience = Patience(deployment_timeout_s, self._gateway_answers, say)

    async def __aenter__(self) -> ClaasClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    # --- who is there -------------------------------------------------------------------------

    async def describe(self) -> Deployment:
        """Who answers, and whether it can work.

        Raises `DeploymentUnreachable` (with what to start) and `DeploymentUnhealthy`.
        """
        try:
            health = read_wire(await self._get("/v1/health"), HealthResponse)
        except DeploymentUnreachable as error:
            raise DeploymentUnreachable(
                f"no CLaaS deployment at {self.routes.claas_url} (mode {self.routes.mode}): {error}. "
                f"To go on: {self.routes.engine.start_hint}"
            ) from error
        self._check_health(health)
        root = await self._get_if_there("/", RootResponse)
        models = await self._get_if_there("/v1/models", ModelsResponse)
        return Deployment(
            url=self.routes.claas_url,
            name=root.name or None if root else None,
            version=root.version or None if root else None,
            healthy=True,
            worker_status=health.worker.status if health.worker else None,
            worker_error=health.worker.error if health.worker else None,
            models=tuple(card.id for card in models.data) if models else (),
            deployment_id=_deployment_id(root),
        )

    def _check_health(self, health: HealthResponse) -> None:
        """Tinker down shows only in the worker: `status` stays healthy."""
        worker = health.worker
        if health.status == "healthy" and (worker is None or worker.status != "unhealthy"):
            return
        said = f"; its worker is {worker.status}: {worker.error or 'no reason given'}" if worker else ""
        raise DeploymentUnhealthy(
            f"the deployment at {self.routes.claas_url} answers, and says that it is {health.status}{said}. "
            "Look at its log, restart it, and run again"
        )

    # --- adapters -------------------------------------------------------------------------------

    async def init_adapter(self, lora_id: str, base_model: str, lora: LoraConfig) -> str:
        """Make an adapter; returns the id that the deployment gave it, to be used from then on. Sent once.

        Raises `RequestRefused` with the server's words (403: this base model is not allowed),
        `DeploymentUnreachable`, `MalformedAnswer`.
        """
        request = LoraInitRequest(lora_id=lora_id, base_model=base_model, lora_r=lora.r, lora_alpha=lora.alpha)
        call = self._claas("POST", "/v1/lora/init", request.model_dump_json(exclude_none=True), self._timeouts.init_s)
        reply = await self._once(call)
        if reply.status != 200:
            raise self._transport.refused(reply, _init_advice(reply, base_model))
        answered = read_wire(reply, LoraInitResponse).lora_id
        if not answered:
            raise malformed(reply, "lora_id: it is empty")
        return answered

    async def adapter_status(self, lora_id: str) -> LoraStatusResponse | None:
        """The adapter's update counter; None where the deployment has no such endpoint.

        Raises `AdapterVanished` where it has, and does not know the adapter.
        """
        reply = await self._repeatedly(self._claas("GET", "/v1/lora/status", params={"lora_id": lora_id}))
        if reply.is_endpoint_missing:
            return None
        if reply.status == 404:
            raise self._vanished(lora_id, self._transport.answered(reply))
        return read_wire(self._checked(reply), LoraStatusResponse)

    async def check_adapter(self, lora_id: str) -> None:
        """Raises `AdapterVanished` where the deployment shows, by its counter or its list, that it is gone."""
        if await self.adapter_status(lora_id) is not None:
            return
        reply = await self._repeatedly(self._claas("GET", "/v1/lora", params={"prefix": lora_id.strip("/")}))
        if reply.is_endpoint_missing:
            return  # there is no way to know
        there = read_wire(self._checked(reply), LoraListResponse).loras
        if lora_id.strip("/") not in {name.strip("/") for name in there}:
            raise self._vanished(lora_id, f"GET /v1/lora lists {len(there)} adapters of that name")

    def _vanished(self, lora_id: str, seen: str) -> AdapterVanished:
        return AdapterVanished(
            f"{seen}. The adapter {lora_id} is no longer on {self.routes.claas_url}, so this run cannot go on: "
            "begin a new one with another output_dir"
        )

    async def adapters(self, prefix: str = "") -> list[str]:
        """The ids of the deployment's adapters that begin with `prefix`."""
        reply = await self._repeatedly(self._claas("GET", "/v1/lora", params={"prefix": prefix}))
        return read_wire(self._checked(reply), LoraListResponse).loras

    async def export_adapter(self, lora_id: str) -> bytes:
        """The adapter as it is now: a zip of its PEFT folder. Raises `RequestRefused`, and `MalformedAnswer` where
        it is no zip."""
        call = self._claas("GET", "/v1/lora/export", timeout_s=self._timeouts.refresh_s, params={"lora_id": lora_id})
        reply = self._checked(await self._repeatedly(replace(call, max_bytes=_MAX_ADAPTER_BYTES)))
        if not reply.body.startswith(b"PK"):
            raise MalformedAnswer(f"{call.name}: the answer is no zip: {reply.text[:80]!r}")
        return reply.body

    async def delete_adapter(self, lora_id: str) -> bool:
        """Whether there was such an adapter to delete. Sent once: the second answer would be another."""
        reply = await self._once(self._claas("DELETE", "/v1/lora", params={"lora_id": lora_id}))
        return read_wire(self._checked(reply), LoraDeleteResponse).deleted

    # --- Tinker's one sampler -------------------------------------------------------------------

    async def sampler_status(self) -> SamplerStatusResponse:
        """What the sampler serves. Raises `RequestRefused` (404) where there is no such endpoint."""
        return read_wire(await self._get("/v1/sampler/status"), SamplerStatusResponse)

    async def refresh_sampler(self, model_path: str | None) -> None:
        """Put the sampler on a checkpoint; None is the base model. Raises as `sampler_status`."""
        body = SamplerRefreshRequest(model_path=model_path).model_dump_json()  # null is sent: it has a meaning
        call = self._claas("POST", "/v1/sampler/refresh", body, self._timeouts.refresh_s)
        self._checked(await self._repeatedly(call))

    # --- generating and scoring -------------------------------------------------------------------

    async def chat(
        self,
        messages: Iterable[tuple[str, str]],
        *,
        lora_id: str,
        temperature: float,
        max_tokens: int | None,
        seed: int | None = None,
        logprobs: bool = False,
    ) -> Answer:
        """Generate an answer to (role, content) pairs.

        `logprobs` asks for them where this deployment can have them at all. Where the context is too
        long for `max_tokens`, 1024, 512 and 256 are tried. Raises `RequestRefused`, `MalformedAnswer`,
        `DeploymentUnreachable`.
        """
        asked = logprobs and self.routes.logprobs_unavailable is None
        request = ChatCompletionRequest(
            model=self.routes.chat_model(lora_id),
            messages=self.routes.messages(messages),
            temperature=temperature,
            max_tokens=max_tokens,
            seed=seed,
            logprobs=asked,
            top_logprobs=TOP_LOGPROBS if asked else None,
        )
        retries = 0
        for attempt, budget in enumerate(_budgets(max_tokens)):
            call = self._chat_call(request.model_copy(update={"max_tokens": budget}), lora_id, again=attempt > 0)
            reply = await self._while_claas_is_there(call)
            retries += reply.retries
            if not (reply.says_context or reply.is_plain_500):  # the latter may mean a context too long
                break
        if reply.status != 200:
            raise self._transport.refused(reply, self._generation_advice(reply, lora_id))
        if self.routes.through_gateway:
            return read_gateway_answer(reply, retries=retries)
        return read_answer(reply, max_tokens=budget, logprobs=asked, retries=retries)

    def _chat_call(self, request: ChatCompletionRequest, lora_id: str, *, again: bool) -> Call:
        return Call(
            method="POST",
            url=self.routes.chat_url,
            json_body=request.model_dump_json(exclude_none=True),
            headers=self.routes.chat_headers(lora_id),
            timeout_s=self._timeouts.generate_s,
            repeats_of_plain_500=0 if again else _REPEATS_OF_PLAIN_500,
        )

    async def _while_claas_is_there(self, call: Call) -> Reply:
        """As `_repeatedly`. Where the gateway fails since CLaaS is away, that one is waited for, then asked again."""
        while True:
            began = time.monotonic()
            reply = await self._repeatedly(call)
            if not self.routes.through_gateway or not is_internal_error(reply) or await self._claas_answers():
                return reply
            await self._patience.wait(
                DeploymentUnreachable(
                    f"{self._transport.answered(reply)}, and {self.routes.claas_url} does not answer"
                ),
                began,
            )

    async def raw_chat(self, lora_id: str, messages: Iterable[tuple[str, str]], *, max_tokens: int) -> Reply:
        """A chat with these messages alone, once: the answer whatever its status. Raises `DeploymentUnreachable`."""
        request = ChatCompletionRequest(
            model=self.routes.chat_model(lora_id),
            messages=[ChatMessage.model_validate({"role": role, "content": content}) for role, content in messages],
            temperature=0,
            max_tokens=max_tokens,
        )
        return await self._once(self._chat_call(request, lora_id, again=True))

    # --- the gateway --------------------------------------------------------------------------------

    async def check_gateway(self) -> None:
        """`GET /v1/models` costs nothing there. Raises where it does not answer, or refuses the token."""
        reply = await self._repeatedly(self._gateway("GET", "/v1/models"))
        if reply.status != 200:
            raise self._transport.refused(reply, gateway_advice(reply))

    async def canary(self, model: str, timeout_s: float) -> Canary:
        """Ask the gateway for one token of `model`, once. Raises `RequestRefused` where the token is refused."""
        request = ChatCompletionRequest(
            model=GATEWAY_MODEL, messages=[ChatMessage(role="user", content="Hi")], temperature=0, max_tokens=1
        )
        body = request.model_dump_json(exclude_none=True)
        call = self._gateway("POST", "/v1/chat/completions", body, timeout_s, {MODEL_HEADER: model})
        began = time.monotonic()
        try:
            async with self._slots:
                reply = await self._transport.once(call)
        except httpx.TimeoutException as error:
            return Canary(model, None, self._transport.fault(call, error), time.monotonic() - began)
        except httpx.RequestError as error:
            raise self._transport.unreachable(call, error) from error
        if reply.status == 401:
            raise self._transport.refused(reply, gateway_advice(reply))
        return Canary(model, reply.status, self._transport.answered(reply), reply.latency_s)

    async def score(self, messages: Iterable[tuple[str, str]], completion: str, *, lora_id: str) -> Score:
        """Logprobs of `completion` after (role, content) pairs. Raises as `chat`."""
        request = ScoreRequest(
            model=self.routes.served_name(lora_id), messages=self.routes.messages(messages), completion=completion
        )
        call = self._claas("POST", "/v1/score", request.model_dump_json(exclude_none=True), self._timeouts.generate_s)
        reply = await self._repeatedly(replace(call, repeats_of_plain_500=_REPEATS_OF_PLAIN_500))
        if reply.status != 200:
            raise self._transport.refused(reply, self._generation_advice(reply, lora_id))
        return read_score(reply, completion)

    def _generation_advice(self, reply: Reply, lora_id: str) -> str:
        through_gateway = self.routes.through_gateway and reply.call.url == self.routes.chat_url
        if through_gateway and (advice := gateway_advice(reply)):
            return advice
        if reply.says_context:
            return "The prompt does not fit, even with the smallest budget: shorten it"
        if not reply.is_plain_500:
            return ""
        either = "the context is too long, even with the smallest budget"
        if self.routes.engine.adapter_by_name:
            either = (
                f"the deployment does not know the adapter {lora_id} (GET /v1/lora lists those it has), or {either}"
            )
        return f"A plain-text 500 says no more than that: {either}, or the engine failed (see its log)"

    # --- feedback -----------------------------------------------------------------------------------

    async def feedback(self, items: Sequence[FeedbackItem], *, timeout_s: float | None = None) -> FeedbackResponse:
        """Train on a batch of one adapter. Sent exactly once, over a connection of its own.

        Raises `DeploymentUnreachable` (no connection), `RequestRefused` (400, 403, 404, 422) and `NotTrained`
        (a 200 whose `status` is an error): not trained. Whatever else goes wrong is `OutcomeUnknown`.
        """
        request = FeedbackRequest(
            requests=list(items), orchestration=Orchestration(sleep_before=False, wake_after=False)
        )
        timeout_s = self._timeouts.feedback_s if timeout_s is None else timeout_s
        call = self._claas("POST", "/v1/feedback", request.model_dump_json(exclude_none=True), timeout_s)
        try:
            reply = await self._transport.once(call)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._transport.unreachable(call, error) from error
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"{self._transport.fault(call, error)}: it may have trained") from error
        except MalformedAnswer as error:
            raise OutcomeUnknown(f"{error}: it may have trained") from error
        if reply.status in _NOT_TRAINED:
            raise self._transport.refused(reply, "Nothing was trained")
        if reply.status != 200:
            raise OutcomeUnknown(f"{self._transport.answered(reply)}: it may have trained")
        try:
            response = read_wire(reply, FeedbackResponse)
        except MalformedAnswer as error:
            raise OutcomeUnknown(f"{error}: it has most likely trained") from error
        if response.status.lower() not in _TRAINED:
            raise NotTrained(f"{call.name} answered 200 with the status {response.status!r}: {reply.text[:1024]}")
        return response

    # --- sending ------------------------------------------------------------------------------------

    def _claas(
        self,
        method: str,
        path: str,
        json_body: str | None = None,
        timeout_s: float | None = None,
        params: dict[str, str] | None = None,
    ) -> Call:
        return Call(
            method=method,
            url=f"{self.routes.claas_url}{path}",
            json_body=json_body,
            params=params or {},
            timeout_s=self._timeouts.read_s if timeout_s is None else timeout_s,
        )

    def _gateway(
        self,
        method: str,
        path: str,
        json_body: str | None = None,
        timeout_s: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> Call:
        """The same with the gateway's address and headers."""
        return replace(
            self._claas(method, path, json_body, timeout_s),
            url=f"{self.routes.gateway_url}{path}",
            headers={**self.routes.gateway_headers, **(headers or {})},
        )

    async def _repeatedly(self, call: Call) -> Reply:
        """In a slot, which is kept while waiting for the next attempt: a struggling server gets less, not more."""
        comebacks, asked_at = 0, self.routes.claas_url
        async with self._slots:
            while True:
                began = time.monotonic()
                try:
                    return await self._transport.repeatedly(self._at_new_address(call, asked_at))
                except DeploymentUnreachable as error:
                    if comebacks >= _COMEBACKS:
                        raise DeploymentUnreachable(
                            f"{error}; so it was each of the {comebacks} times that it answered again: this request "
                            "fails, whatever else works. See its log"
                        ) from error
                    await self._patience_for(call).wait(error, began)
                    comebacks += 1

    def _at_new_address(self, call: Call, was: str) -> Call:
        now = self.routes.claas_url
        return replace(call, url=now + call.url.removeprefix(was)) if call.url.startswith(f"{was}/") else call

    def _patience_for(self, call: Call) -> Patience:
        """What failed is what is asked whether it is back: the gateway may be down while CLaaS is well."""
        at_gateway = self.routes.gateway_url is not None and call.url.startswith(f"{self.routes.gateway_url}/")
        return self._gateway_patience if at_gateway else self._patience

    async def wait_until_back(self, error: DeploymentUnreachable) -> None:
        """After `error`. Raises it where the deployment does not come back in time."""
        await self._patience.wait(error, time.monotonic())

    async def _claas_answers(self) -> bool:
        if self._locate is not None:
            claas_url = await asyncio.to_thread(self._locate)
            if claas_url != self.routes.claas_url:
                self.routes = replace(self.routes, claas_url=claas_url)
                self._slots = Slots(claas_url, self.max_concurrency)
        return await self._is_there(self._claas("GET", "/v1/health"))

    async def _gateway_answers(self) -> bool:
        """`GET /v1/models` costs nothing there, and needs the token."""
        return await self._is_there(self._gateway("GET", "/v1/models"))

    async def _is_there(self, call: Call) -> bool:
        """Whether it answers and can work: asked once, without a slot."""
        try:
            reply = await self._transport.once(call)
        except (httpx.RequestError, MalformedAnswer):
            return False
        return reply.status < 500

    async def _once(self, call: Call) -> Reply:
        try:
            async with self._slots:
                return await self._transport.once(call)
        except httpx.RequestError as error:
            raise self._transport.unreachable(call, error) from error

    async def _get(self, path: str) -> Reply:
        return self._checked(await self._repeatedly(self._claas("GET", path)))

    async def _get_if_there(self, path: str, model: type[Wire]) -> Wire | None:
        reply = await self._repeatedly(self._claas("GET", path))
        return None if reply.is_endpoint_missing else read_wire(self._checked(reply), model)

    def _checked(self, reply: Reply) -> Reply:
        if reply.status != 200:
            raise self._transport.refused(reply)
        return reply


def _deployment_id(root: RootResponse | None) -> str | None:
    """Not part of the contract: some deployments name themselves."""
    given = (root.model_extra or {}).get("deployment_id") if root else None
    return str(given) if given is not None else None


def _budgets(max_tokens: int | None) -> list[int | None]:
    return [max_tokens, *(budget for budget in SMALLER_BUDGETS if max_tokens is None or budget < max_tokens)]


def _init_advice(reply: Reply, base_model: str) -> str:
    if reply.status == 403:
        return f"base_model is {base_model}: set it to one that this deployment allows"
    if reply.is_plain_500:
        return f"Tinker answers so to a name that it does not use: base_model is {base_model}"
    return ""
