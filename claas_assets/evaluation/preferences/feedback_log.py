"""A CLaaS feedback log: what users asked of an adapter. One JSON file a feedback batch, written by the deployment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from claas_assets.evaluation import foreign_json
from claas_assets.evaluation.errors import ConfigError, EvaluationError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.prompts import folded, nearly_one
from claas_assets.evaluation.preferences.suggest import verifiers_for
from claas_assets.evaluation.storage.records import moment_of
from claas_assets.evaluation.storage.stamps import check_regular

LARGEST_FILE = 16 * 2**20
"""Bytes. A batch has prompts, answers, and what the engine trained on."""


class _Item(BaseModel):
    """One answer that was corrected; `training` is not read."""

    lora_id: str
    prompt: str = Field(min_length=1)
    response: str
    feedback: str = Field(min_length=1, pattern=r"\S")


class _Batch(BaseModel):
    """What is read of a file; its other keys are not of interest here."""

    timestamp_utc: str
    requests: list[_Item]
    error: Any = None


@dataclass(frozen=True)
class LoggedFeedback:
    """One item of a batch."""

    when: datetime
    lora_id: str
    prompt: str
    feedback: str
    trained: bool
    """Whether its batch went through; what failed was asked for all the same."""


@dataclass
class Request:
    """What was asked for, in all items that say it in the same words but for case, spaces and marks."""

    text: str
    """Its first wording."""
    items: list[LoggedFeedback] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """Each once, in the order of time."""
        return list(dict.fromkeys(item.prompt for item in self.items))

    @property
    def adapters(self) -> list[str]:
        return sorted({item.lora_id for item in self.items})

    @property
    def first(self) -> datetime:
        return self.items[0].when

    @property
    def last(self) -> datetime:
        return self.items[-1].when


@dataclass(frozen=True)
class FeedbackLog:
    """What a folder of batches holds."""

    files: int
    """Read or not."""
    items: list[LoggedFeedback]
    """In the order of time."""
    unreadable: dict[str, str]
    """File → why it was not read."""

    @property
    def requests(self) -> list[Request]:
        """What was asked for, the most frequent first."""
        found: dict[str, Request] = {}
        for item in self.items:
            found.setdefault(folded(item.feedback), Request(item.feedback.strip())).items.append(item)
        return sorted(found.values(), key=lambda request: -len(request.items))

    def request_for(self, feedback: str | None) -> Request:
        """The one that says `feedback`; None: the most frequent. Raises `ConfigError`."""
        requests = self.requests
        if not requests:
            raise ConfigError("the feedback log holds no feedback that can be read")
        if feedback is None:
            return requests[0]
        same = next((request for request in requests if folded(request.text) == folded(feedback)), None)
        if same is None:
            known = "; ".join(f'"{request.text[:80]}"' for request in requests[:10])
            raise ConfigError(f'nobody asked for "{feedback}" in this feedback log. Asked for was: {known}')
        return same


def read_feedback_log(folder: Path) -> FeedbackLog:
    """Every `*.json` of `folder`. What cannot be read is named with its reason. Raises `ConfigError`: no folder."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. A feedback log is a folder of JSON files, one a feedback batch")
    paths = sorted(folder.glob("*.json"))
    items: list[LoggedFeedback] = []
    unreadable: dict[str, str] = {}
    for path in paths:
        try:
            items += _items_of(path)
        except (OSError, ValueError, EvaluationError) as error:
            unreadable[path.name] = words_of(error) if isinstance(error, ValidationError) else str(error)
    return FeedbackLog(len(paths), sorted(items, key=lambda item: item.when), unreadable)


def _items_of(path: Path) -> Iterator[LoggedFeedback]:
    size = check_regular(path)[1]
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size:,} bytes, at most {LARGEST_FILE:,} are read")
    batch = _Batch.model_validate(foreign_json.loads(path.read_text(encoding="utf-8")))
    when = moment_of(batch.timestamp_utc)
    for item in batch.requests:
        yield LoggedFeedback(when, item.lora_id, item.prompt, item.feedback, trained=batch.error is None)


def covers(preference: Preference, feedback: str) -> bool:
    """Whether a preference asks for the same: in nearly the same words, or by the same kind of verifier.

    Wrong by construction: it compares words and what they suggest, not what was meant.
    """
    wordings: Sequence[str] = (preference.feedback_string, *preference.feedback_strings)
    if any(nearly_one(feedback, wording) for wording in wordings):
        return True
    meant = verifiers_for(feedback)[0]
    return meant["_target_"] != "JudgeVerifier" and meant in [verifiers_for(wording)[0] for wording in wordings]
