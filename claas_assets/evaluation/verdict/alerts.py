"""Telling people: which verdicts are bad, and a webhook that may fail without failing anything else."""

import logging
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from claas_assets.evaluation.config import FailOn

WEBHOOK_VARIABLE = "CLAAS_ALERT_WEBHOOK"
_TIMEOUT_S = 10.0
_NO_PROXY = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}

_BAD: dict[FailOn, frozenset[str]] = {
    "fail": frozenset({"fail"}),
    "marginal": frozenset({"fail", "marginal"}),
    "inconclusive": frozenset({"fail", "marginal", "inconclusive", "unfinished"}),
}


def is_bad(overall: str, fail_on: FailOn | None) -> bool:
    """Whether `overall` is what `fail_on` names, or worse. Where it names nothing: only `fail`."""
    return overall in _BAD[fail_on or "fail"]


def call_webhook(message: Mapping[str, str | None]) -> str | None:
    """POST `message` as JSON to the address in `CLAAS_ALERT_WEBHOOK`. Returns what went wrong, or None.

    The address is itself a secret with most services: of it, only the host is in what is returned.
    """
    url = os.environ.get(WEBHOOK_VARIABLE, "").strip()
    if not url:
        return None
    logging.getLogger("httpx").setLevel(logging.WARNING)  # at INFO it logs whole addresses
    try:
        host = urlsplit(url).hostname or "an address without a host"
    except ValueError:
        return f"{WEBHOOK_VARIABLE} is not an address (its value is not shown)"
    try:
        with httpx.Client(timeout=_TIMEOUT_S, mounts=_NO_PROXY) as client:
            answer = client.post(url, json=dict(message))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"the webhook at {host} ({WEBHOOK_VARIABLE}) was not reached: {type(error).__name__}"
    if not answer.is_success:
        return f"the webhook at {host} ({WEBHOOK_VARIABLE}) answered {answer.status_code}"
    return None
