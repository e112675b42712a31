"""An OpenClaw gateway between the harness and CLaaS: what its refusals mean, and whose weights answer through it.

A gateway is configured with one model. The header `x-openclaw-model` names another one for a request, and only a
gateway that honors it lets the adapter in training be measured. So an adapter that cannot exist is asked for: an
answer to it comes from weights that nobody named.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from claas_assets.evaluation.config import GATEWAY_TOKEN_VARIABLE
from claas_assets.evaluation.errors import DeploymentError, DeploymentUnreachable, GatewayUnproven, RequestRefused

if TYPE_CHECKING:
    from claas_assets.evaluation.deployment.client import ClaasClient
    from claas_assets.evaluation.deployment.transport import Reply

NOBODY_S = 60.0
"""How long the adapter that cannot exist is waited for: a CLaaS that does not know it may never let the gateway
answer."""
_ANSWER_S = 600.0
_TELLS_NOTHING = frozenset({408, 429, 502, 503, 504})
_TIMES_QUICKER = 3
"""No answer within `NOBODY_S` tells something only where a known adapter is answered so many times quicker."""


@dataclass(frozen=True)
class Canary:
    """One token was asked for."""

    model: str
    status: int | None
    """The HTTP status; None: no answer in time."""
    said: str
    latency_s: float


@dataclass(frozen=True)
class GatewayProof:
    """What is known of the gateway at `url`."""

    url: str
    names_honored: bool | None
    """Whether the adapter that a request names is the one that answers; None where that does not matter (Tinker's one
    sampler decides)."""
    said: str
    """How that is known."""

    @property
    def is_proven(self) -> bool:
        return self.names_honored is not False

    def as_record(self) -> dict[str, Any]:
        """For `metadata.json`."""
        return asdict(self)


async def prove_gateway(client: ClaasClient, lora_id: str | None, *, allow_unproven: bool) -> GatewayProof | None:
    """Whether chat through the gateway is answered by the adapter that it names; None where there is no gateway.

    `lora_id`: an adapter that exists, which must answer; None before there is one. Raises `GatewayUnproven` where
    another adapter's weights may answer and that is not allowed, and a `DeploymentError` where none do.
    """
    url = client.routes.gateway_url
    if url is None:
        return None
    await client.check_gateway()
    if client.routes.engine.one_sampler:
        return GatewayProof(url, None, "the one sampler decides whose weights answer")
    nobody = await client.canary(f"no-such-adapter-{secrets.token_hex(4)}", NOBODY_S)
    somebody = None if lora_id is None else await _answered(client, lora_id)
    proof = _judged(url, nobody, somebody)
    if not proof.is_proven and not allow_unproven:
        raise GatewayUnproven(
            f"the gateway {url} may not serve the adapter in training: {proof.said}. Wrong weights would be measured. "
            "`claas-eval gateway-config` prints a configuration that works (OpenClaw 2026.9.6, token authentication); "
            "openclaw_url=null speaks to CLaaS directly; allow_unproven_gateway=true measures whatever it serves, and "
            "says so in the verdict"
        )
    return proof


async def _answered(client: ClaasClient, lora_id: str) -> Canary:
    canary = await client.canary(client.routes.served_name(lora_id), _ANSWER_S)
    if canary.status == 200:
        return canary
    words = f"the gateway {client.routes.gateway_url} does not answer for the adapter {lora_id}: {canary.said}"
    if canary.status is None:
        raise DeploymentError(words)
    raise RequestRefused(words, status=canary.status)


def _judged(url: str, nobody: Canary, somebody: Canary | None) -> GatewayProof:
    if nobody.status in _TELLS_NOTHING:
        raise DeploymentUnreachable(f"the gateway is not well: {nobody.said}. Look at its log, and run again")
    if nobody.status == 200:
        return GatewayProof(url, False, f"it answered for {nobody.model}, an adapter that does not exist")
    if nobody.status is not None:
        return GatewayProof(url, True, f"an adapter that does not exist was refused ({nobody.said})")
    if somebody is not None and somebody.latency_s * _TIMES_QUICKER > NOBODY_S:
        return GatewayProof(
            url,
            False,
            f"for an adapter that does not exist it answered nothing in {NOBODY_S:g} s, and for one that does after "
            f"{somebody.latency_s:.0f} s: it is too slow to tell",
        )
    return GatewayProof(url, True, f"for an adapter that does not exist it answered nothing in {NOBODY_S:g} s")


def is_internal_error(reply: Reply) -> bool:
    """What a gateway answers where CLaaS is away, and where the model answered nothing twice."""
    return reply.status == 500 and reply.error_words == "internal error"


def gateway_advice(reply: Reply) -> str:
    """What a refusal through the gateway means, in words; empty where its own words say it."""
    if reply.status == 401 and _error_type(reply) == "authentication_error":
        return "CLaaS refuses the gateway: look at the apiKey of its provider"
    if reply.status == 401:
        return f"The gateway refuses the token in {GATEWAY_TOKEN_VARIABLE}"
    if reply.status == 404:
        return "What stands behind the gateway does not know the adapter (or the gateway has no such endpoint)"
    if is_internal_error(reply):
        return (
            "CLaaS answers, so the model most likely answered nothing: the gateway asks again after an empty answer, "
            "and fails after the second. Or it failed by itself: see its log"
        )
    return ""


def _error_type(reply: Reply) -> str | None:
    error = reply.json.get("error") if isinstance(reply.json, dict) else None
    return error.get("type") if isinstance(error, dict) else None
