"""What the model was asked and what it said."""

from typing import Literal

from pydantic import Field

from claas_assets.evaluation.storage.records.base import Record, Unmeasured


class Message(Record):
    """One message of a chat."""

    role: str
    """system, user or assistant."""
    content: str
    """Thinking is removed by the client."""


class TranscriptMetadata(Record):
    """All that scoring needs beside the messages."""

    key: str
    """Unique in a snapshot: `<metric>/<group>/…`, e.g. `compliance/heldout_prompts/3`, `logprob/4/positive`."""
    kind: Literal["generate", "score", "judge"]
    """`generate`: the model answered. `score`: it gave the logprobs of an answer that it was handed. `judge`: another
    model judged an answer (`JudgeVerifier`)."""
    model: str | None = None
    """Of a judgement: the judge that made it."""
    temperature: float | None = None
    """Of sampling, at least 0."""
    max_tokens: int | None = None
    """The token budget that worked, which is less than the one asked for where the context was too small."""
    seed: int | None = None
    """Of sampling; null at temperature 0."""
    finish_reason: str | None = None
    """As the deployment said it. Real deployments say "stop" always: see `truncated`."""
    prompt_tokens: int | None = None
    """As the deployment counted them."""
    completion_tokens: int | None = None
    """As the deployment counted them."""
    truncated: bool | None = None
    """Whether the answer reached its token budget; null where the deployment did not count tokens."""
    logprobs: list[float] | None = None
    """Nats, one a completion token."""
    logprob_sum: float | None = None
    """Nats, over all completion tokens."""
    end_of_turn: int | None = None
    """How many of the last `logprobs` are of the end of turn that the template adds to a given answer; null where
    that is not known: before version 3 of `collapse`, or where the deployment's tokens do not show it."""
    entropies: list[float] | None = None
    """Nats, one a completion token, over the top 20 tokens, renormalized."""
    latency_s: float | None = None
    """Seconds from request to answer."""
    retries: int = 0
    """Requests that failed before the one that was answered."""
    asked_as: str | None = None
    """Key of the probe whose answer this is, where two metrics shared one request."""
    error: Unmeasured | None = None
    """Why there is no answer; the messages then end with the question."""


class Transcript(Record):
    """One question and its answer (`kind: generate`), or a given answer and its logprobs (`score`)."""

    metric: str
    """Name of the metric that asked."""
    messages: list[Message] = Field(min_length=1)
    """The question last, then the answer."""
    metadata: TranscriptMetadata

    @property
    def key(self) -> str:
        return self.metadata.key

    @property
    def answer(self) -> str | None:
        """The assistant's text, thinking removed by the client; None where there is no answer."""
        if self.metadata.error is not None or self.messages[-1].role != "assistant":
            return None
        return self.messages[-1].content

    @property
    def question(self) -> str:
        """The last user message."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")
