"""A CLaaS deployment made of paper: the contract over HTTP, quirks included, without a model.

    with FakeClaas("tinker", generation="old") as fake:
        fake.faults.add("/v1/feedback", disconnect(applied=True))
        ...                                  # speak to fake.url
        fake.log.bodies("/v1/feedback"), fake.updates

Or by hand: `python -m tests.fake_claas --mode tinker --port 8080`.
"""

from tests.fake_claas.fake import FakeClaas
from tests.fake_claas.faults import (
    Fault,
    Gate,
    body,
    calling,
    delay,
    disconnect,
    edit,
    hold,
    malformed,
    nulled,
    status,
    text,
    trickle,
    truncated,
    without,
)
from tests.fake_claas.gateway import FakeGateway
from tests.fake_claas.model import Temper

__all__ = [
    "FakeClaas",
    "FakeGateway",
    "Fault",
    "Gate",
    "Temper",
    "body",
    "calling",
    "delay",
    "disconnect",
    "edit",
    "hold",
    "malformed",
    "nulled",
    "status",
    "text",
    "trickle",
    "truncated",
    "without",
]
