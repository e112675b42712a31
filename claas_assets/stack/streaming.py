"""A chat completion as server-sent events in OpenAI's chunk shape."""

import json
import time
from collections.abc import Iterator
from typing import Any

from claas_assets.wire import Usage, strip_thinking

_TAG = "<think>"


class Chunks:
    """The chunks of one answer. Fed with the whole text so far, it emits what is new and visible."""

    def __init__(self, chunk_id: str, model: str) -> None:
        self._head = {
            "id": chunk_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._sent = ""

    def role(self) -> str:
        return self._event({"role": "assistant", "content": ""})

    def text(self, text: str) -> str | None:
        """An event with what is new, or None. Holds back what may still change."""
        if text.endswith("\ufffd"):  # a character whose bytes are not complete
            return None
        visible = strip_thinking(_without_partial_tag(text))
        if not visible.startswith(self._sent) or visible == self._sent:
            return None
        new, self._sent = visible[len(self._sent) :], visible
        return self._event({"content": new})

    def end(self, text: str, finish_reason: str, usage: Usage | None) -> Iterator[str]:
        """The rest of the text, the finish reason, the usage where asked for, the end mark."""
        visible = strip_thinking(text)
        if visible.startswith(self._sent) and visible != self._sent:
            yield self._event({"content": visible[len(self._sent) :]})
        yield self._event({}, finish_reason)
        if usage is not None:
            yield _data({**self._head, "choices": [], "usage": usage.model_dump()})
        yield "data: [DONE]\n\n"

    def _event(self, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _data({**self._head, "choices": [choice]})


def _without_partial_tag(text: str) -> str:
    for size in range(len(_TAG) - 1, 0, -1):
        if text.endswith(_TAG[:size]):
            return text[:-size]
    return text


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
