"""`claas-eval gateway-config`: the configuration of an OpenClaw gateway that serves the adapter in training.

    claas-eval gateway-config --claas-url http://localhost:8080 > openclaw.json
    OPENCLAW_CONFIG_PATH=$PWD/openclaw.json openclaw gateway --port 18789 --bind loopback

Nothing is sent, and the token is not in it: OpenClaw reads `OPENCLAW_GATEWAY_TOKEN` from its environment.
"""

import argparse
import json
from typing import Any

from claas_assets.evaluation.config import GATEWAY_TOKEN_VARIABLE
from claas_assets.wire import model_name

PROVIDER = "claas"


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    print(json.dumps(gateway_config(options.claas_url, options.lora_id), indent=2))
    return 0


def gateway_config(claas_url: str, lora_id: str) -> dict[str, Any]:
    """What OpenClaw reads. `lora_id`: the adapter that answers where a request names none."""
    model = model_name(lora_id)
    base_url = claas_url.rstrip("/").removesuffix("/v1")
    provider = {
        "baseUrl": f"{base_url}/v1",
        "api": "openai-completions",
        "apiKey": "none",
        "models": [{"id": model, "name": model}],
    }
    return {
        "gateway": {
            "auth": {"mode": "token", "token": f"${{{GATEWAY_TOKEN_VARIABLE}}}"},
            "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
        },
        "models": {"providers": {PROVIDER: provider}},
        "agents": {
            "defaults": {
                "model": {"primary": f"{PROVIDER}/{model}"},
                "skipBootstrap": True,  # these two shrink its own prompt from 27,600 characters to 7,800
                "contextInjection": "never",
            }
        },
        "tools": {"byProvider": {PROVIDER: {"deny": ["*"]}}},  # of one model alone, it would offer them to others
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="claas-eval gateway-config", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--claas-url", default="http://localhost:8080", help="CLaaS, as the gateway reaches it")
    parser.add_argument(
        "--lora-id",
        default="openclaw/assistant-latest",
        help="the adapter that answers where a request names none; default: %(default)s",
    )
    return parser
