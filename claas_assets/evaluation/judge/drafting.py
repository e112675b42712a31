"""Prompts for a preference, drafted by a model, for a person to read."""

import json

from claas_assets.evaluation.errors import JudgeError
from claas_assets.evaluation.judge.client import ChatModel
from claas_assets.evaluation.preferences.prompts import unlike
from claas_assets.evaluation.storage.records import Message
from claas_assets.wire import strip_thinking

WANTED = 40
"""Some are nearly one with others, and are left out."""
LONGEST_PROMPT = 600
"""Characters."""
_FEWEST = 10

_ASK = """\
A user of an assistant gave this feedback on its answers: {feedback}

Write {wanted} messages that users might send to the assistant, of many kinds and on many subjects, to which this \
feedback applies. They must not mention the feedback, nor ask for what it asks for. No two may be alike.

Reply with a JSON list of texts, and with nothing else."""


async def draft_prompts(model: ChatModel, feedback: str) -> list[str]:
    """Prompts to which `feedback` applies, no two nearly one. Raises `JudgeError`. `model` is open."""
    asked = _ASK.format(feedback=json.dumps(feedback, ensure_ascii=False), wanted=WANTED)
    reply = strip_thinking(await model.ask([Message(role="user", content=asked)], max_tokens=8192))
    begin, end = reply.find("["), reply.rfind("]")
    try:
        values = json.loads(reply[begin : end + 1])
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list):
        raise JudgeError(f"the model that was to draft prompts gave no JSON list: {reply[:120]!r}")
    prompts = [" ".join(value.split()) for value in values[: 2 * WANTED] if isinstance(value, str)]
    kept = unlike(prompt for prompt in prompts if 0 < len(prompt) <= LONGEST_PROMPT and prompt.isprintable())
    if len(kept) < _FEWEST:
        raise JudgeError(f"the model that was to draft prompts gave {len(kept)} that can be used, at least {_FEWEST}")
    return kept
