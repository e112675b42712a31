"""What a deployment answered, checked: a body that is not the contract never becomes a number.

Each reader takes the body of a 200 and raises `MalformedAnswer` saying what is wrong and where.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from claas_assets.evaluation.deployment.end_of_turn import end_of_turn
from claas_assets.evaluation.deployment.transport import Reply
from claas_assets.evaluation.errors import MalformedAnswer
from claas_assets.evaluation.metrics.logprobs import HIGHEST, LOWEST, why_unusable
from claas_assets.evaluation.metrics.statistics import token_entropy
from claas_assets.evaluation.mistakes import words_of
from claas_assets.wire import (
    AnswerMessage,
    ChatChoice,
    ChatCompletionResponse,
    ScoreResponse,
    TokenLogprob,
    Usage,
    strip_thinking,
)

TOP_LOGPROBS = 20  # asked for per token; entropies are over these, renormalized
_PLACEHOLDERS = frozenset({"No response from OpenClaw."})
"""Texts that a gateway puts where the model's answer would be."""
_TRUNCATION_NOTICE = "⚠️ Reply truncated at the model's output token limit."
"""What a gateway appends to an answer that was cut: the model never wrote it, and the completion cache does not hold
it, so feedback on a text with it would be refused."""
_MOST_TOKENS = 2**31
_NO_ANSWERS = {
    "error": "the server ended the answer with an error",
    "content_filter": "a filter of the server withheld the answer",
    "tool_calls": "a call of a tool came in place of an answer",
    "function_call": "a call of a function came in place of an answer",
}
"""Finish reasons of a text that is not, or not wholly, what the model said to the user."""
_ASIDE = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text"})
"""Types of content parts that the user does not see."""
_SENTINELS = frozenset({-999.0, -1000.0})
"""Exactly these stand for "none" on some servers, and lie above `LOWEST`."""
_SHOWN = 300  # characters of a body that an error quotes

Wire = TypeVar("Wire", bound=BaseModel)


@dataclass(frozen=True)
class Answer:
    """A generated answer.

    `text` is what the user sees: thinking removed. `logprobs` and `entropies` (nats) have one entry
    per completion token, thinking included; None where not asked for or not exposed. `max_tokens` is
    the budget that worked. Token counts are None where the server did not say; then `truncated` is
    None too, unless the finish reason tells. `latency_s` is of the request that was answered;
    `retries` counts requests before it that met a passing fault.
    """

    text: str
    logprobs: list[float] | None
    entropies: list[float] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: str | None
    truncated: bool | None
    max_tokens: int | None
    retries: int
    latency_s: float
    top_logprobs: int | None = None
    """How many alternatives a token came with, at least; None where there are none."""


@dataclass(frozen=True)
class Score:
    """Logprobs (nats) of a given answer, one per completion token, the end-of-turn suffix included."""

    logprobs: list[float]
    logprob_sum: float
    prompt_tokens: int
    completion_tokens: int
    retries: int
    latency_s: float
    end_of_turn: int | None = None
    """How many of the last tokens are that suffix; None where the tokens do not show it."""


@dataclass(frozen=True)
class Deployment:
    """Who answers at `url`. `name`, `version` and `deployment_id` are None where it does not say."""

    url: str
    name: str | None
    version: str | None
    healthy: bool
    worker_status: str | None
    worker_error: str | None
    models: tuple[str, ...]
    deployment_id: str | None = None

    def as_record(self) -> dict[str, Any]:
        """For a run's provenance."""
        return {**asdict(self), "models": list(self.models)}


def read_wire(reply: Reply, model: type[Wire]) -> Wire:
    """The body as a wire model."""
    try:
        return model.model_validate_json(reply.text)
    except ValidationError as error:
        what = words_of(error) if error.errors(include_url=False)[0]["loc"] else f"the body {words_of(error)}"
        said = reply.error_words[:_SHOWN]
        raise malformed(reply, f"{what}; the server says: {said}" if said else what) from None


def read_answer(reply: Reply, *, max_tokens: int | None, logprobs: bool, retries: int) -> Answer:
    """`logprobs`: they were asked for; otherwise whatever came is ignored."""
    response = read_wire(reply, ChatCompletionResponse)
    choice = response.choices[0]
    text = strip_thinking(_content(reply, choice.message))
    _refuse_failures(reply, response, choice, text)
    if text in _PLACEHOLDERS:
        raise malformed(reply, f"choices.0.message.content: {text!r} is the gateway's placeholder, not an answer")
    prompt_tokens, completion_tokens = _counts(reply, response.usage, text)
    tokens = _token_logprobs(reply, choice, completion_tokens) if logprobs else None
    return Answer(
        text=text,
        logprobs=None if tokens is None else [token.logprob for token in tokens],
        entropies=None if tokens is None else _entropies(reply, tokens),
        top_logprobs=min((len(token.top_logprobs) for token in tokens or ()), default=0) or None,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        finish_reason=choice.finish_reason,
        truncated=_truncated(choice.finish_reason, completion_tokens, max_tokens),
        max_tokens=max_tokens,
        retries=retries,
        latency_s=reply.latency_s,
    )


def read_gateway_answer(reply: Reply, *, retries: int) -> Answer:
    """An answer through a gateway, its notice taken off.

    The gateway sends our token limit under another name, which public CLaaS ignores, and CLaaS says "stop" however
    an answer ended. So an answer is known to be cut where that is said; otherwise it is unknown, never False.
    """
    answer = read_answer(reply, max_tokens=None, logprobs=False, retries=retries)
    text, notice, _ = answer.text.partition(_TRUNCATION_NOTICE)
    return replace(answer, text=text.rstrip() if notice else text, truncated=True if notice else answer.truncated)


def _refuse_failures(reply: Reply, response: ChatCompletionResponse, choice: ChatChoice, text: str) -> None:
    """Raise where a 200 with a text says that the text is none of the model's: an error, or a tool's call."""
    error = (response.model_extra or {}).get("error") or (choice.model_extra or {}).get("error")
    why = _NO_ANSWERS.get(choice.finish_reason or "")
    if error is None and (why is None or (text and "call" in why)):
        return
    said = (error.get("message") if isinstance(error, dict) else None) or error or text
    raise malformed(reply, f"{why or 'the server says that it failed'}: {str(said)[:_SHOWN]!r}")


def _content(reply: Reply, message: AnswerMessage) -> str:
    """The text of an answer; of one in parts, all of them together."""
    where, content = "choices.0.message.content", message.content
    if content is None:
        reasoning = (message.reasoning_content or "").strip()
        only = f"; all that came is reasoning: {reasoning[:_SHOWN]!r}" if reasoning else ""
        refusal = (message.model_extra or {}).get("refusal")
        only += f"; the server refuses: {str(refusal)[:_SHOWN]!r}" if refusal else ""
        raise malformed(reply, f"{where}: null, so there is no answer{only}")
    if isinstance(content, str):
        return content
    seen = [part for part in content if part.get("type") not in _ASIDE]
    texts = [part.get("text") for part in seen if part.get("type") in ("text", "output_text")]
    if len(texts) != len(seen) or (content and not seen) or not all(isinstance(text, str) for text in texts):
        raise malformed(reply, f"{where}: parts that are not text: {str(content)[:_SHOWN]}")
    return "".join(map(str, texts))


def read_score(reply: Reply, completion: str) -> Score:
    """`completion`: the text that was scored."""
    response = read_wire(reply, ScoreResponse)
    for name in ("prompt_tokens", "completion_tokens"):
        if name not in response.model_fields_set:
            raise malformed(reply, f"{name}: it is missing, and a score says its token counts")
    if len(response.logprobs) != response.completion_tokens or not response.logprobs:
        raise malformed(
            reply, f"logprobs: {len(response.logprobs)} of them for {response.completion_tokens} completion tokens"
        )
    if not 0 <= response.prompt_tokens < _MOST_TOKENS:
        raise malformed(reply, f"prompt_tokens: {response.prompt_tokens} is no number of tokens")
    _check_logprobs(reply, "logprobs", response.logprobs)
    if (wrong := why_unusable(response.logprobs, response.logprob_sum)) is not None:
        raise malformed(reply, wrong)
    tokens = response.tokens or []
    return Score(
        logprobs=response.logprobs,
        logprob_sum=response.logprob_sum,
        prompt_tokens=response.prompt_tokens,
        completion_tokens=response.completion_tokens,
        retries=reply.retries,
        latency_s=reply.latency_s,
        end_of_turn=end_of_turn(tokens, completion) if len(tokens) == len(response.logprobs) else None,
    )


def malformed(reply: Reply, what: str) -> MalformedAnswer:
    return MalformedAnswer(f"{reply.call.name} answered {reply.status}, and not by the contract: {what}")


def _counts(reply: Reply, usage: Usage | None, text: str) -> tuple[int | None, int | None]:
    """Token counts. A zero that cannot be (no prompt is empty) is a server's way not to say."""
    if usage is None:
        return None, None
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if any(count is not None and not 0 <= count < _MOST_TOKENS for count in (prompt, completion)):
        raise malformed(reply, "usage: a number of tokens that is negative or beyond any context")
    completion_said = "completion_tokens" in usage.model_fields_set and bool(completion or not text)
    return prompt or None, completion if completion_said else None


def _truncated(finish_reason: str | None, completion_tokens: int | None, max_tokens: int | None) -> bool | None:
    """Real deployments always say "stop": only the token count shows that an answer was cut."""
    if finish_reason == "length":
        return True
    if completion_tokens is None or max_tokens is None:
        return None
    return completion_tokens >= max_tokens


def _token_logprobs(reply: Reply, choice: ChatChoice, completion_tokens: int | None) -> list[TokenLogprob] | None:
    """The tokens with their logprobs, or None where this engine exposes none (an empty list says as much)."""
    tokens = choice.logprobs.content if choice.logprobs is not None else None
    if not tokens:
        return None
    where = "choices.0.logprobs.content"
    _check_logprobs(reply, where, [token.logprob for token in tokens])
    if completion_tokens is not None and len(tokens) != completion_tokens:
        raise malformed(reply, f"{where}: {len(tokens)} of them for {completion_tokens} completion tokens")
    return tokens


def _entropies(reply: Reply, tokens: Sequence[TokenLogprob]) -> list[float] | None:
    """Entropy (nats) of each position over its top logprobs, or None where the server sent none."""
    if not any(token.top_logprobs for token in tokens):
        return None
    entropies = []
    for position, token in enumerate(tokens):
        where = f"choices.0.logprobs.content.{position}.top_logprobs"
        top = [entry.logprob for entry in token.top_logprobs]
        if not top:
            raise malformed(reply, f"{where}: none here, while other tokens have them")
        _check_logprobs(reply, where, top, least=-math.inf)  # a sentinel here is a probability of 0
        if max(top) < LOWEST:
            raise malformed(reply, f"{where}: none of them is the logarithm of a probability")
        entropies.append(token_entropy(sorted(top, reverse=True)[:TOP_LOGPROBS]))
    return entropies


def _check_logprobs(reply: Reply, where: str, logprobs: Sequence[float], *, least: float = LOWEST) -> None:
    for position, logprob in enumerate(logprobs):
        if not math.isfinite(logprob) or not least <= logprob <= HIGHEST or (least == LOWEST and logprob in _SENTINELS):
            raise malformed(reply, f"{where}.{position}: {logprob} is not the logarithm of a probability")
