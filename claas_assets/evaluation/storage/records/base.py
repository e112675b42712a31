"""What every record is made of: words, moments, intervals, and why a number is missing."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict

FORMAT_VERSION = 1
SCORES_FORMAT_VERSION = 1

BASELINE_STEP = -1
"""The step of the state before any feedback, wherever states are numbered: after it they count from 0."""

Grade = Literal["pass", "marginal", "fail", "inconclusive", "unavailable"]
Evidence = Literal["shown", "worse", "within_noise"]
Outcome = Literal[
    "learned", "learned, harm not excluded", "partly learned", "not learned", "harmful", "nothing to teach",
    "inconclusive", "unfinished", "retained", "retained, harm not excluded", "learned, forgetting not excluded",
    "forgotten", "control",
]  # fmt: skip
Role = Literal["learning", "guard", "extreme", "told"]
Overall = Literal["pass", "marginal", "fail", "inconclusive", "unfinished"]
SnapshotSize = Literal["light", "full"]
SnapshotScale = Literal["standard", "quick"]
Schedule = Literal["sequential", "interleaved"]
Control = Literal["none", "placebo", "shuffled"]


class Record(BaseModel):
    """Unknown keys are kept: a file of a newer version survives being read and written."""

    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_inf_nan="null", populate_by_name=True, serialize_by_alias=True
    )


def _in_file(name: str) -> dict[str, Any]:
    """Arguments of `Field` for a field that its file calls `name`."""
    return {"validation_alias": AliasChoices(name), "serialization_alias": name}


def _checked_moment(text: str) -> str:
    moment_of(text)
    return text


def moment_of(text: str) -> datetime:
    """In UTC; a time without a zone is taken for UTC. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-11-24T10:15:00+00:00") from None


Moment = Annotated[str, AfterValidator(_checked_moment)]
"""A time as text, checked when it is read: lists are ordered by it, and folders pruned by it."""


class Unmeasured(Record):
    """Why a number is missing."""

    kind: Literal["unavailable", "failed"]
    """`unavailable`: this engine cannot give it, so it is left out of the overall verdict. `failed`: it should
    have been there, so its criterion is `inconclusive`."""
    reason: str
    """In words, with what to do where something can be done."""


class Interval(Record):
    """A confidence interval, in the unit of its value."""

    lower: float
    upper: float
    level: float = 0.95
    """Coverage, in (0, 1)."""
    method: str = ""
    """wilson, bonett-price or student-t; empty where an older version did not record it."""
