"""The state of the fake deployment and what its calls do to it: no HTTP in here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from claas_assets.wire import FeedbackItem, model_name, strip_thinking
from tests.fake_claas.cache import CompletionCache
from tests.fake_claas.model import END_OF_TURN, Temper, Token, Weights, behave, generated, scored, token_count
from tests.fake_claas.profiles import Profile

_STAMPED = re.compile(r"\[[^]]+ UTC\] (.*)\n\nRuntime: .*", re.DOTALL)

Generation = Literal["new", "old"]
Broken = Literal[
    "trains nothing", "trains another", "serves the base model", "cuts answers", "one sampler for all",
    "sentinel logprobs", "no logprobs", "counts wrongly",
]  # fmt: skip
"""Ways in which a deployment looks well and is not."""


class Refused(Exception):
    """A JSON refusal: `{"detail": …}` with a status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class PlainFailure(Exception):
    """A plain-text 500, as the real servers answer to what they did not foresee."""


@dataclass
class Settings:
    """What a test may set, also while the fake runs."""

    generation: Generation = "new"
    temper: Temper = field(default_factory=Temper)
    context_tokens: int = 8192
    context_error: Literal["plain", "json"] = "plain"
    unknown_model: Literal["plain 500", "404"] = "plain 500"  # the embedded stack: 404
    says_length: bool = False  # reads max_completion_tokens and says `length`, as the embedded stack does
    sampler_endpoints: bool = True  # Tinker only
    caches_logprobs: bool = True
    counted_checkpoints: bool = False  # Tinker only: a checkpoint's path ends in step-N, as a real one's does
    status: str = "healthy"
    worker_status: str = "healthy"
    worker_error: str | None = None
    broken: Broken | None = None
    never_idle: bool = False  # `sleep_before: true` is then a 503


@dataclass
class Adapter:
    lora_id: str
    base_model: str
    updates: int = 0
    feedback: tuple[str, ...] = ()

    @property
    def weights(self) -> Weights:
        return Weights(self.updates, self.feedback)


@dataclass(frozen=True)
class Generated:
    """`text` is visible, `tokens` are not stripped of thinking."""

    text: str
    tokens: list[Token]
    prompt_tokens: int


class FakeDeployment:
    def __init__(self, profile: Profile, settings: Settings) -> None:
        self.profile = profile
        self.settings = settings
        self.adapters: dict[str, Adapter] = {}
        self.cache = CompletionCache()
        self.sampler_path: str | None = None
        self._checkpoints: dict[str, Weights] = {}
        self._seeds = itertools.count()

    @property
    def base_model(self) -> str:
        return self.profile.base_models[0] if self.profile.base_models else "fake/base-model"

    # --- adapters ---------------------------------------------------------------------------

    def init(self, lora_id: str, base_model: str | None) -> str:
        """Init does not reset Tinker's sampler."""
        base_model = base_model or self.base_model
        allowed = self.profile.base_models
        if allowed is not None and base_model not in allowed:
            if self.profile.refuses_with == 500:
                raise PlainFailure
            raise Refused(self.profile.refuses_with, f"base model {base_model!r} is not allowed")
        answered = f"{lora_id}{self.profile.id_suffix}"
        self.adapters[answered] = Adapter(answered, base_model)
        return answered

    def adapter(self, lora_id: str) -> Adapter | None:
        """Tinker compares exactly; the others forgive slashes around the id."""
        return self.adapters.get(lora_id if self.profile.one_sampler else lora_id.strip("/"))

    def delete(self, lora_id: str) -> bool:
        return self.adapters.pop(lora_id, None) is not None

    def models(self) -> list[str]:
        return [self.base_model, *(model_name(lora_id) for lora_id in self.adapters if self.profile.by_name)]

    def weights_for(self, model: str) -> Weights:
        """What a request is answered with. Tinker ignores `model`."""
        if self.profile.one_sampler:
            return self._checkpoints[self.sampler_path] if self.sampler_path is not None else Weights()
        if self.settings.broken == "one sampler for all":
            return max((adapter.weights for adapter in self.adapters.values()), key=lambda weights: weights.updates)
        if self.settings.broken == "serves the base model":
            return Weights()
        for lora_id, adapter in self.adapters.items():
            if model_name(lora_id) == model:
                return adapter.weights
        if model == self.base_model:
            return Weights()
        if self.settings.unknown_model == "404":
            raise Refused(404, f"unknown adapter {model!r}")
        raise PlainFailure

    def refresh_sampler(self, model_path: str | None) -> None:
        if model_path is not None and model_path not in self._checkpoints:
            raise Refused(400, f"no checkpoint {model_path!r}")
        self.sampler_path = model_path

    # --- generating and scoring ---------------------------------------------------------------

    def generate(
        self,
        model: str,
        messages: Sequence[tuple[str, str]],
        *,
        max_tokens: int | None,
        seed: int | None = None,
        temperature: float = 0.0,
    ) -> Generated:
        weights = self.weights_for(model)
        prompt_tokens = self._fitting(messages, max_tokens or 0)
        temper = self.settings.temper
        prompt = _last_user(messages)
        raw = behave(prompt, weights, temper, seed=self._seed(seed), temperature=temperature)
        if temper.thinks:
            raw = f"<think>What would please them?</think> {raw}"
        limit = min(12, max_tokens or 12) if self.settings.broken == "cuts answers" else max_tokens
        tokens = generated(raw, weights, temper, max_tokens=limit)
        text = strip_thinking("".join(t.text for t in tokens if t.text != END_OF_TURN))
        has_system = any(role == "system" for role, _ in messages)
        self.cache.put(text, has_logprobs=self.settings.caches_logprobs, has_system_message=has_system)
        return Generated(text, tokens, prompt_tokens)

    def score(self, model: str, messages: Sequence[tuple[str, str]], completion: str) -> tuple[list[Token], int]:
        weights = self.weights_for(model)
        prompt_tokens = self._fitting(messages, token_count(completion))
        return scored(_last_user(messages), completion, weights, self.settings.temper), prompt_tokens

    def _seed(self, asked: int | None) -> int:
        if self.profile.fixed_seed:
            return 0
        return next(self._seeds) if self.profile.own_seed or asked is None else asked

    def _fitting(self, messages: Sequence[tuple[str, str]], wanted: int) -> int:
        """Tokens of the prompt; refuses where prompt and answer do not fit the context."""
        prompt_tokens = sum(token_count(content) + 4 for _, content in messages)
        if prompt_tokens + wanted <= self.settings.context_tokens:
            return prompt_tokens
        if self.settings.context_error == "plain":
            raise PlainFailure
        limit = self.settings.context_tokens
        raise Refused(400, f"This model's maximum context length is {limit} tokens, {prompt_tokens + wanted} requested")

    # --- feedback -------------------------------------------------------------------------------

    def train(self, items: list[FeedbackItem], *, steps_per_batch: int) -> dict[str, Any]:
        """One feedback call that passed validation; returns the engine's metadata."""
        if len({item.lora_id for item in items}) > 1 or any(item.training != items[0].training for item in items):
            raise Refused(400, "all requests of a batch must have the same lora_id and training")
        adapter = self.adapter(items[0].lora_id)
        if adapter is None:
            raise Refused(404, f"unknown adapter {items[0].lora_id!r}")
        for item in items:
            self._check_cached(item)
        newer = self.settings.generation == "new"
        applied = steps_per_batch if newer else 1
        if self.settings.broken != "trains nothing":
            trained = self._trained(adapter)
            trained.updates += applied
            trained.feedback = tuple(dict.fromkeys([*trained.feedback, *(item.feedback for item in items)]))
        metadata = self._tinker_metadata(adapter, items) if self.profile.one_sampler else _local_metadata(items)
        if newer:
            metadata["steps_per_batch_applied"] = applied
        return metadata

    def _trained(self, named: Adapter) -> Adapter:
        others = [adapter for adapter in self.adapters.values() if adapter is not named]
        return others[-1] if self.settings.broken == "trains another" and others else named

    def _check_cached(self, item: FeedbackItem) -> None:
        cached = self.cache.get(item.response)
        if cached is None:
            raise Refused(404, "no cached completion for this response")
        if not cached.has_logprobs:
            raise Refused(422, "the cached completion came without logprobs")
        if not cached.has_system_message:
            raise Refused(422, "the cached completion's chat request had no system message")

    def _tinker_metadata(self, adapter: Adapter, items: list[FeedbackItem]) -> dict[str, Any]:
        """Training puts the shared sampler on the new checkpoint."""
        count = "step-" if self.settings.counted_checkpoints else ""
        path = f"tinker://fake/{adapter.lora_id}/sampler/{count}{adapter.updates}"
        self._checkpoints[path] = adapter.weights
        self.sampler_path = path
        return {
            "adv_mean": 0.1, "kl_mean": 0.02, "effective_kl_coef": 0.5, "kl_gain": 1.0, "adv_abs_mean": 0.2,
            "adv_abs_mean_raw": 0.3, "completion_len": sum(token_count(i.response) for i in items),
            "batch_size": len(items), "step": adapter.updates, "lr": items[0].training.learning_rate,
            "loss_fn": "importance_sampling", "tinker_path": path.replace("/sampler/", "/train/"),
            "sampler_weights_path": path, "timestamp": "2026-02-01T00:00:00Z",
        }  # fmt: skip


def _local_metadata(items: list[FeedbackItem]) -> dict[str, Any]:
    return {
        "distill_loss": 0.5, "kl_reg": 0.0, "mean_is_ratio": 1.0, "clip_fraction": 0.0, "total_loss": 0.5,
        "grad_norm": 0.8, "tokens_processed": sum(token_count(item.response) for item in items),
        "batch_size": len(items), "per_step_metrics": [{"total_loss": 0.5}],
        "teacher_scored_texts": [item.response for item in items],
    }  # fmt: skip


def _last_user(messages: Sequence[tuple[str, str]]) -> str:
    """The question, out of the stamp that a gateway puts around it: a model reads past that."""
    content = next((content for role, content in reversed(messages) if role == "user"), "")
    stamped = _STAMPED.match(content)
    return stamped.group(1) if stamped else content
