"""One engine generates, scores and trains, on one thread that owns the model.

Requests that arrive together are generated together; places that become free are filled again
while the rest goes on. One adapter is generated with at a time. An update waits until what is
being generated is done, and nothing is generated meanwhile.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from claas_assets.stack.adapters import AdapterInfo, AdapterStore, choose_modules
from claas_assets.stack.backend import Backend, float32_precision, packs
from claas_assets.stack.sampling import Sampled, Sampler, sample
from claas_assets.stack.text import ChatText
from claas_assets.stack.trainer import Rollout, TrainingReport, train
from claas_assets.wire import TrainingOptions

PATIENCE_S = 2.0  # how long a request for another adapter waits before no more are let in ahead of it
BOUND_ADAPTERS = 2  # kept ready in memory: each is as large as the model
CACHE_TOKENS = 65_536  # open sequences, times what the longest of them may reach


@dataclass
class Generation:
    """A request to generate, and what became of it."""

    prompt_ids: list[int]
    lora_id: str | None
    max_tokens: int
    sampler: Sampler
    stop: list[str] = field(default_factory=list)
    on_text: Callable[[str], None] | None = None  # called with the whole text so far, engine's thread
    cancelled: bool = False

    sampled: list[Sampled] = field(default_factory=list)  # end of turn included
    text: str = ""
    finish_reason: str = ""  # "stop" or "length"
    future: Future[Generation] = field(default_factory=Future)
    place: Any = None
    since: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        return len(self.prompt_ids) + self.max_tokens


@dataclass
class Scoring:
    """A request for the logprob of each token of a completion."""

    prompt_ids: list[int]
    completion_ids: list[int]
    lora_id: str | None
    future: Future[list[float]] = field(default_factory=Future)


@dataclass
class Exclusive:
    """Work that runs alone: an update, or a change of the adapters."""

    run: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Engine:
    """Call from any thread; results come as futures. Raises what the work raised."""

    def __init__(
        self,
        backend: Backend,
        text: ChatText,
        store: AdapterStore,
        modules: dict[str, tuple[int, int]],
        context: int,
    ) -> None:
        self.backend = backend
        self.text = text
        self.store = store
        self.modules = modules  # every module that an adapter may adapt: name → (in, out)
        self.context = context  # tokens
        self.failure: str | None = None
        self._bound: OrderedDict[str, Any] = OrderedDict()
        self._untrained: set[str] = set()
        """Adapters made here and not trained yet: their B is 0, so the base model's weights serve them all."""
        self._waiting: deque[Generation | Exclusive] = deque()
        self._scores: deque[Scoring] = deque()
        self._active: list[Generation] = []
        self._changed = threading.Condition()
        self._closing = False
        self._threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- what others call ------------------------------------------------------------------

    def generate(self, request: Generation) -> Future[Generation]:
        self._enqueue(self._waiting, request)
        return request.future

    def score(self, prompt_ids: list[int], completion_ids: list[int], lora_id: str | None) -> Future[list[float]]:
        """Logprob in nats of each completion token."""
        request = Scoring(prompt_ids, completion_ids, lora_id)
        self._enqueue(self._scores, request)
        return request.future

    def train(self, lora_id: str, rollouts: Sequence[Rollout], options: TrainingOptions) -> Future[TrainingReport]:
        """Make `options.steps_per_batch` updates of an adapter, alone."""

        def run() -> TrainingReport:
            self._untrained.discard(lora_id)
            try:
                return train(self.backend, self.store, lora_id, rollouts, options)
            finally:
                self._bound.pop(lora_id, None)

        return self._exclusively(run)

    def create_adapter(
        self, lora_id: str, r: int, alpha: int, targets: list[str] | None
    ) -> Future[tuple[AdapterInfo, int]]:
        """A fresh adapter, and how many updates one of that name had that it replaces."""

        def run() -> tuple[AdapterInfo, int]:
            replaced = self.store.updates(lora_id)
            info = self.store.create(lora_id, choose_modules(self.modules, targets), r, alpha)
            self._bound.pop(info.lora_id, None)
            self._untrained.add(info.lora_id)
            return info, replaced

        return self._exclusively(run)

    def delete_adapter(self, lora_id: str) -> Future[bool]:
        def run() -> bool:
            self._bound.pop(lora_id.strip("/"), None)
            self._untrained.discard(lora_id.strip("/"))
            return self.store.delete(lora_id)

        return self._exclusively(run)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Finish what runs, refuse what waits, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=60)

    # --- the thread ------------------------------------------------------------------------

    def _exclusively(self, run: Callable[[], Any]) -> Future[Any]:
        work = Exclusive(run)
        self._enqueue(self._waiting, work)
        return work.future

    def _enqueue(self, queue: deque[Any], work: Any) -> None:
        with self._changed:
            if self._closing:
                raise RuntimeError("the engine is closing")
            queue.append(work)
            self._changed.notify()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # a thread's own setting, not inherited
        while True:
            with self._changed:
                while not (self._waiting or self._scores or self._active or self._closing):
                    self._changed.wait()
                if self._closing:
                    break
            self._turn()
        for work in (*self._active, *self._waiting, *self._scores):
            work.future.set_exception(RuntimeError("the stack is shutting down"))

    def _turn(self) -> None:
        """Waiting scores, then work that runs alone, else one step of generation."""
        if self._scores:
            self._score_waiting()
        if not self._active and self._waiting and isinstance(self._waiting[0], Exclusive):
            work = self._waiting.popleft()
            assert isinstance(work, Exclusive)
            _settle(work.future, work.run)
            return
        admitted = self._admit()
        batch = [*self._active, *admitted]
        if not batch:
            return
        try:
            with torch.inference_mode():
                self._advance(admitted)
        except Exception as error:  # handed on: each request of the batch answers with it, and the loop lives
            self._fail(batch, error)

    def _advance(self, admitted: list[Generation]) -> None:
        """One token for everything that is open, then the first token of what came in."""
        lora = self._lora(self._weights((self._active or admitted)[0].lora_id)) if self._active or admitted else None
        if self._active:
            tokens = [request.sampled[-1].token_id for request in self._active]
            logits = self.backend.step([request.place for request in self._active], tokens, lora)
            self._take(self._active, logits)
        for part in packs([len(request.prompt_ids) for request in admitted]):
            group = admitted[part]
            places, logits = self.backend.start([request.prompt_ids for request in group], lora)
            for request, place in zip(group, places, strict=True):
                request.place = place
                self._active.append(request)
            self._take(group, logits)

    def _take(self, requests: list[Generation], logits: torch.Tensor) -> None:
        """Sample a token for each request, and close those that are done."""
        for request, sampled in zip(list(requests), sample(logits, [r.sampler for r in requests]), strict=True):
            request.sampled.append(sampled)
            try:
                done = self._judge(request)
            except Exception as error:  # handed on: this request answers with it, the others go on
                self._close(request)
                request.future.set_exception(error)
                continue
            if done:
                self._close(request)
                request.future.set_result(request)

    def _judge(self, request: Generation) -> bool:
        """Whether a request is done; sets its text and finish reason."""
        ended = request.sampled[-1].token_id in self.text.end_ids
        full = len(request.sampled) >= request.max_tokens
        watched = bool(request.stop or request.on_text)
        if not (ended or full or watched or request.cancelled):
            return False
        ids = [sampled.token_id for sampled in request.sampled]
        request.text = self.text.decode(ids[:-1] if ended else ids)
        found = [at for stop in request.stop if (at := request.text.find(stop)) >= 0]
        if found:
            request.text = request.text[: min(found)]
        done = ended or full or bool(found) or request.cancelled
        if done:
            request.finish_reason = "stop" if ended or found else "length"
        if request.on_text:
            request.on_text(request.text)
        return done

    def _close(self, request: Generation) -> None:
        if request in self._active:
            self._active.remove(request)
        self.backend.finish(request.place)
        request.place = None

    def _fail(self, batch: list[Generation], error: Exception) -> None:
        """A step failed: nothing of the batch can go on."""
        self.failure = f"{type(error).__name__}: {error}"
        for request in batch:
            if request.place is not None:
                self.backend.finish(request.place)
                request.place = None
            if not request.future.done():
                request.future.set_exception(error)
        self._active.clear()

    def _admit(self) -> list[Generation]:
        """Take what fits from the queue: same weights, free rows, tokens; none past exclusive work."""
        weights = self._weights(self._active[0].lora_id) if self._active else None
        chosen: list[Generation] = []
        longest = max((request.size for request in self._active), default=0)
        first_other: float | None = None
        with self._changed:
            for work in list(self._waiting):
                if isinstance(work, Exclusive):
                    break
                if work.cancelled:
                    self._waiting.remove(work)
                    work.finish_reason = "length"
                    work.future.set_result(work)
                    continue
                if not (self._active or chosen):
                    weights = self._weights(work.lora_id)
                if self._weights(work.lora_id) != weights:
                    first_other = first_other or work.since
                    if time.monotonic() - first_other > PATIENCE_S:
                        break
                    continue
                busy = len(self._active) + len(chosen)
                longest = max(longest, work.size)
                if busy == self.backend.max_rows or (busy and (busy + 1) * longest > CACHE_TOKENS):
                    break
                chosen.append(work)
                self._waiting.remove(work)
        return chosen

    def _score_waiting(self) -> None:
        """All waiting scores, those of one adapter together."""
        with self._changed:
            requests, self._scores = list(self._scores), deque()
        requests.sort(key=lambda request: self._weights(request.lora_id) or "")
        for lora_id, same in itertools.groupby(requests, key=lambda request: self._weights(request.lora_id)):
            group = list(same)
            for part in packs([len(r.prompt_ids) + len(r.completion_ids) for r in group]):
                self._score_group(group[part], lora_id)

    @torch.inference_mode()
    def _score_group(self, group: list[Scoring], lora_id: str | None) -> None:
        try:
            with float32_precision():
                logits = self.backend.logits(
                    [request.prompt_ids + request.completion_ids[:-1] for request in group],
                    [len(request.completion_ids) for request in group],
                    self._lora_for_scores(lora_id),
                )
            for request, own in zip(group, logits, strict=True):
                ids = torch.tensor(request.completion_ids, device=own.device)
                logprobs = torch.log_softmax(own, dim=-1).gather(-1, ids[:, None])
                request.future.set_result(logprobs.squeeze(-1).tolist())
        except Exception as error:
            for request in group:
                if not request.future.done():
                    request.future.set_exception(error)

    def _lora_for_scores(self, lora_id: str | None) -> Any:
        """As `_lora`; where scores have a type of their own it is bound anew, since memory would not hold both."""
        if self.backend.score_dtype == self.backend.dtype:
            return self._lora(lora_id)
        if lora_id is None:
            return self.backend.bind_for_scores(None, 0.0)
        adapter = self.store.load(lora_id)
        return self.backend.bind_for_scores(adapter.weights, adapter.info.scale)

    def _weights(self, lora_id: str | None) -> str | None:
        """Whose weights answer: of an adapter that was not trained, the base model's."""
        return None if lora_id in self._untrained else lora_id

    def _lora(self, lora_id: str | None) -> Any:
        """An adapter as the backend takes it; the last few stay in memory."""
        if lora_id is None:
            return None
        if lora_id not in self._bound:
            adapter = self.store.load(lora_id)
            self._bound[lora_id] = self.backend.bind(adapter.weights, adapter.info.scale)
            while len(self._bound) > BOUND_ADAPTERS:
                self._bound.popitem(last=False)
        self._bound.move_to_end(lora_id)
        return self._bound[lora_id]


def _settle(future: Future[Any], run: Callable[[], Any]) -> None:
    try:
        future.set_result(run())
    except BaseException as error:
        future.set_exception(error)
