"""What each mode changes, and direct or through the gateway: the one place that branches on either.

Directly, chat goes to CLaaS under the adapter's model name, with a default system message (without
one, feedback on the answer is refused). Through an OpenClaw gateway chat goes there, as `openclaw`,
with a bearer token, a header that names the adapter, and the user's message alone: the gateway adds its
own system prompt. Init, scoring and feedback go to CLaaS either way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from claas_assets.evaluation.config import GATEWAY_TOKEN_VARIABLE, EvalConfig, Mode
from claas_assets.evaluation.errors import ConfigError
from claas_assets.wire import DEFAULT_SYSTEM_PROMPT, ChatMessage, model_name

GATEWAY_MODEL = "openclaw"
MODEL_HEADER = "x-openclaw-model"
"""Picks the model of one request, under token auth; without it the gateway asks the one that it is configured with."""


@dataclass(frozen=True)
class Engine:
    """What a mode's deployment can do."""

    start_hint: str
    """What to do where no deployment answers."""
    exposes_logprobs: bool = True
    """A chat answer has its tokens' logprobs where they are asked for."""
    one_sampler: bool = False
    """All chat goes to the latest trained adapter, and init does not reset that: one preference at a time, and
    the sampler is put on the right weights before anything is measured."""
    serialize_feedback: bool = False
    """Feedback goes one at a time per deployment."""
    adapter_by_name: bool = True
    """The model name picks the adapter, so an unknown one is a plain-text 500."""


ENGINES: dict[Mode, Engine] = {
    "embedded": Engine("set claas_url=null, and the evaluation finds or starts the embedded stack by itself"),
    "local": Engine(
        "start vLLM and the CLaaS API on that machine, or set claas_url to where they run",
        serialize_feedback=True,
    ),
    "modal": Engine("deploy the CLaaS app on Modal, and set claas_url to its address"),
    "tinker": Engine(
        "start the CLaaS API in Tinker mode (with CLAAS_TINKER_API_KEY in its own environment), or set claas_url to "
        "where it runs",
        exposes_logprobs=False,
        one_sampler=True,
        serialize_feedback=True,
        adapter_by_name=False,
    ),
}


@dataclass(frozen=True)
class Routes:
    """Where requests go and what they carry. The token is in no repr."""

    mode: Mode
    engine: Engine
    claas_url: str
    gateway_url: str | None = None
    token: str | None = field(default=None, repr=False)
    base_model: str = ""
    """Answers to its own name, where an audit asks it."""
    audits: bool = False
    """Nothing may be made, trained or deleted."""

    @property
    def through_gateway(self) -> bool:
        return self.gateway_url is not None

    @property
    def on_this_machine(self) -> bool:
        """Whether every address is one of loopback."""
        urls = [self.claas_url, *([self.gateway_url] if self.gateway_url else [])]
        return all(urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1") for url in urls)

    @property
    def chat_url(self) -> str:
        return f"{self.gateway_url or self.claas_url}/v1/chat/completions"

    @property
    def gateway_headers(self) -> dict[str, str]:
        """The token goes to the gateway, and nowhere else."""
        return {"Authorization": f"Bearer {self.token}"} if self.through_gateway else {}

    def chat_headers(self, lora_id: str) -> dict[str, str]:
        """Through a gateway: the token, and whose weights shall answer. On Tinker the one sampler decides that."""
        named = self.through_gateway and self.engine.adapter_by_name
        return {**self.gateway_headers, **({MODEL_HEADER: self.served_name(lora_id)} if named else {})}

    def chat_model(self, lora_id: str) -> str:
        return GATEWAY_MODEL if self.through_gateway else self.served_name(lora_id)

    def served_name(self, lora_id: str) -> str:
        """The model name of an adapter; the base model's own name is not made into one."""
        return lora_id if lora_id == self.base_model else model_name(lora_id)

    def messages(self, messages: Iterable[tuple[str, str]]) -> list[ChatMessage]:
        """The messages of a chat or score call from (role, content) pairs.

        Directly, the default system message comes first unless the pairs bring their own. Through
        a gateway there is none, neither for chat nor for scoring.
        """
        sent = [ChatMessage.model_validate({"role": role, "content": content}) for role, content in messages]
        if self.through_gateway or any(message.role == "system" for message in sent):
            return sent
        return [ChatMessage(role="system", content=DEFAULT_SYSTEM_PROMPT), *sent]

    @property
    def logprobs_unavailable(self) -> str | None:
        """Why chat gives no token logprobs here, or None where it does."""
        if self.through_gateway:
            return "an OpenClaw gateway drops logprobs from chat requests"
        if not self.engine.exposes_logprobs:
            return f"the {self.mode} engine exposes no token logprobs in chat"
        return None


def routes_for(config: EvalConfig, claas_url: str, token: str | None) -> Routes:
    """The routes of an evaluation. `claas_url` is the resolved address, `token` the gateway's.

    Raises `ConfigError` where a gateway is used without a usable token; nothing was sent then.
    """
    if config.openclaw_url is not None:
        _check_token(token, config.openclaw_url)
    return Routes(
        mode=config.mode,
        engine=ENGINES[config.mode],
        claas_url=claas_url.rstrip("/"),
        gateway_url=config.openclaw_url,
        token=token if config.openclaw_url is not None else None,
        base_model=config.base_model,
        audits=config.lora_id is not None,
    )


def _check_token(token: str | None, gateway_url: str) -> None:
    """Refuse what cannot be a header's value here: HTTP libraries print it in their own error."""
    if not token:
        raise ConfigError(f"openclaw_url is {gateway_url}, and there is no token: set {GATEWAY_TOKEN_VARIABLE}")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"{GATEWAY_TOKEN_VARIABLE} is not usable as a bearer token: it holds a space, a control character or "
            "one outside ASCII (its value is not shown)"
        )
