"""One preference evaluated on one deployment: what every part of the loop is handed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.progress import Event, Reporter


@dataclass(frozen=True)
class Session:
    """`report` hears what is going on."""

    client: ClaasClient
    config: EvalConfig
    preference: Preference
    report: Reporter

    def say(self, stage: Any, message: str, **details: Any) -> None:
        self.report(Event(preference=self.preference.name, stage=stage, message=message, **details))
