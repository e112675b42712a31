"""The CLaaS HTTP contract as pydantic models.

The one place where the wire format is written down: the client, the embedded stack and the
fake deployment of the tests all use these models. Requests forbid nothing (real servers
ignore unknown keys); answers keep unknown keys, since two generations of servers are live.
"""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant", "tool"]


class _Wire(BaseModel):
    """Unknown keys are kept, so that an answer can be recorded as it came."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class ChatMessage(_Wire):
    role: Role
    content: str


# --- adapters ---------------------------------------------------------------------------


class LoraInitRequest(_Wire):
    lora_id: str = Field(min_length=1)
    base_model: str | None = None
    lora_r: int = Field(default=32, ge=4, le=128)
    lora_alpha: int = Field(default=64, ge=8, le=256)
    target_modules: list[str] | None = None


class LoraInitResponse(_Wire):
    """`lora_id` differs from the one asked for on some deployments: use this one from then on."""

    lora_id: str


class LoraListResponse(_Wire):
    loras: list[str]


class LoraDeleteResponse(_Wire):
    deleted: bool


class LoraStatusResponse(_Wire):
    """Only the embedded stack answers this (`GET /v1/lora/status`)."""

    lora_id: str
    updates: int  # gradient updates applied since init
    base_model: str


# --- generation -------------------------------------------------------------------------


class ChatCompletionRequest(_Wire):
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    stop: list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool = False
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=100)


class TopLogprob(_Wire):
    token: str
    logprob: float  # nats
    bytes: list[int] | None = None


class TokenLogprob(_Wire):
    token: str
    logprob: float  # nats
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = Field(default_factory=list)


class ChoiceLogprobs(_Wire):
    """One entry per generated token, thinking included."""

    content: list[TokenLogprob] | None = None


class AnswerMessage(_Wire):
    """What a model answered. `content` is a text or its parts; null where all of it was reasoning."""

    role: str | None = "assistant"
    content: str | list[dict[str, Any]] | None
    reasoning_content: str | None = None


class ChatChoice(_Wire):
    """`finish_reason` is always "stop" on real deployments, even for a truncated answer."""

    index: int | None = 0
    message: AnswerMessage
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None


class Usage(_Wire):
    """Null is a server's way not to say."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = 0


class ChatCompletionResponse(_Wire):
    id: str | None = ""
    object: str | None = "chat.completion"
    created: int | None = 0
    model: str | None = ""
    choices: list[ChatChoice] = Field(min_length=1)
    usage: Usage | None = None


class CompletionRequest(_Wire):
    """OpenAI text completion (`POST /v1/completions`)."""

    model: str
    prompt: str = Field(min_length=1)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    stop: list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)


class CompletionChoice(_Wire):
    index: int = 0
    text: str
    finish_reason: str | None = None


class CompletionResponse(_Wire):
    id: str = ""
    object: str = "text_completion"
    created: int = 0
    model: str = ""
    choices: list[CompletionChoice] = Field(min_length=1)
    usage: Usage | None = None


# --- scoring ----------------------------------------------------------------------------


class ScoreRequest(_Wire):
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    completion: str = Field(min_length=1)


class ScoreResponse(_Wire):
    """`logprobs` in nats, one per completion token, the template's end-of-turn suffix included."""

    logprobs: list[float]
    tokens: list[str] | None = Field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprob_sum: float


# --- feedback ---------------------------------------------------------------------------


class TrainingOptions(_Wire):
    """Hyperparameters of one feedback call. Older deployments ignore the last two fields."""

    model_config = ConfigDict(allow_inf_nan=False)

    learning_rate: float = Field(default=3e-5, gt=0.0)
    alpha: float = Field(default=0.5, ge=0.0, le=1.0)
    is_clip: float = Field(default=5.0, ge=1.0, le=20.0)
    max_grad_norm: float = Field(default=1.0, ge=0.0)
    kl_reg_weight: float = Field(default=0.0, ge=0.0, le=1.0)
    teacher_top_k: int = Field(default=100, ge=10, le=100)
    steps_per_batch: int = Field(default=4, ge=1)
    feedback_repetitions: int = Field(default=1, ge=1)


class FeedbackItem(_Wire):
    lora_id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)  # the bare user prompt
    response: str = Field(min_length=1)  # the visible answer
    feedback: str = Field(min_length=1)
    training: TrainingOptions = Field(default_factory=TrainingOptions)


class Orchestration(_Wire):
    sleep_before: bool = True
    wake_after: bool = True
    wake_on_failure: bool = True
    sleep_level: int = Field(default=1, ge=1, le=2)


class FeedbackRequest(_Wire):
    requests: list[FeedbackItem] = Field(min_length=1)
    orchestration: Orchestration = Field(default_factory=Orchestration)


class DistillResult(_Wire):
    lora_id: str | None
    metadata: dict[str, Any] = Field(default_factory=dict)


class FeedbackResponse(_Wire):
    status: str
    request_id: str | None = ""
    lora_id: str | None = ""
    distill_result: DistillResult | None = None
    vllm: dict[str, Any] | None = None
    feedback_log_path: str | None = None
    timing_ms: dict[str, Any] | None = None
    batch_size: int | None = None


# --- health and the rest ----------------------------------------------------------------


class WorkerHealth(_Wire):
    status: str = "unknown"
    error: str | None = None


class HealthResponse(_Wire):
    """Tinker down: `status` stays "healthy" and `worker.status` is "unhealthy"."""

    status: str
    worker: WorkerHealth | None = None


class RootResponse(_Wire):
    name: str | None = ""
    version: str | None = ""
    description: str | None = ""
    docs: str | None = ""


class ModelCard(_Wire):
    id: str
    object: str = "model"


class ModelsResponse(_Wire):
    object: str = "list"
    data: list[ModelCard] = Field(default_factory=list)


class SamplerStatusResponse(_Wire):
    """Tinker only: `model_path` is null when the sampler serves the base model."""

    model_path: str | None = None
    base_model: str | None = None


class SamplerRefreshRequest(_Wire):
    model_path: str | None = None


# --- conventions that both sides share ----------------------------------------------------

DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."
"""Sent as the first message directly to CLaaS: without a system message feedback is refused."""

_THINKING_TAG = re.compile(
    r"<(?P<close1>/?)(?P<name1>(?:[a-z]{1,12}:)?(?:think|thinking|thoughts?|reasoning))\s{0,3}>"
    r"|\[(?P<close2>/?)(?P<name2>think)\]"
    r"|◁(?P<close3>/?)(?P<name3>think)▷"
    r"|<\|(?:(?P<close4>end_(?:of_)?)|begin_(?:of_)?|start_(?:of_)?)(?P<name4>thought|thinking)\|>",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|>", re.IGNORECASE)
_FINAL = re.compile(r"<\|channel\|>\s*final[^<]{0,100}<\|message\|>", re.IGNORECASE)
_ENDS_MESSAGE = re.compile(r"<\|(?:end|return|start|channel)\|>", re.IGNORECASE)
_OUTSIDE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def model_name(lora_id: str) -> str:
    """The model name under which a deployment serves an adapter.

    >>> model_name("/eval/identity-20261124-101500Z/")
    'eval-identity-20261124-101500Z'
    """
    return _OUTSIDE_NAME.sub("-", lora_id.strip("/")).strip("-") or "lora"


def strip_thinking(text: str) -> str:
    """The visible part of an answer: without the thinking that opens it, in any known spelling.

    Removed are whole blocks (nested too), all of an answer whose thinking is not closed, and all before a closing
    tag that nothing opened (a prompt template may have). Where an answer opens with thinking, later blocks go too.
    A tag that stands in prose is left: the answer is about it. Of harmony's channels the final one is visible.

    >>> strip_thinking("<think>a<think>b</think>c</think> yes")
    'yes'
    >>> strip_thinking("It writes its thoughts in a <think> tag. I am Kuro.")
    'It writes its thoughts in a <think> tag. I am Kuro.'
    """
    text = text.strip()
    if _CHANNEL.match(text):
        finals = list(_FINAL.finditer(text))
        return _ENDS_MESSAGE.split(text[finals[-1].end() :], maxsplit=1)[0].strip() if finals else ""
    tags = [(*_spelling(tag), tag) for tag in _THINKING_TAG.finditer(text)]
    if not tags:
        return text
    spelling, closes, first = tags[0]
    if closes or first.start() > 0:
        return _after_unopened_close(text, tags)
    visible, depth, position = [], 0, 0
    for other, closes, tag in tags:
        if other != spelling:
            continue
        if not closes:
            visible += [text[position : tag.start()]] if depth == 0 else []
            depth += 1
        else:
            visible = visible if depth else []
            depth, position = max(0, depth - 1), tag.end()
    return "".join([*visible, text[position:] if depth == 0 else ""]).strip()


def _spelling(tag: re.Match[str]) -> tuple[str, bool]:
    """Which kind of tag it is, and whether it closes."""
    kind = next(kind for kind in "1234" if tag[f"name{kind}"])
    return f"{kind}{tag[f'name{kind}'].lower()}", bool(tag[f"close{kind}"])


def _after_unopened_close(text: str, tags: list[tuple[str, bool, re.Match[str]]]) -> str:
    opened: set[str] = set()
    begins = 0
    for spelling, closes, tag in tags:
        if not closes:
            opened.add(spelling)
        elif spelling not in opened:
            begins = tag.end()
    return text[begins:].strip()


def cache_key_text(text: str) -> str:
    """The text under whose SHA-256 a completion is cached: visible, white space folded."""
    return " ".join(strip_thinking(text).split())
