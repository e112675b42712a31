"""`metrics.csv` and `collapse.json`: numbers along the steps."""

from typing import Any

from pydantic import Field

from claas_assets.evaluation.storage.records.base import BASELINE_STEP, Record, Unmeasured
from claas_assets.evaluation.storage.records.public_scores import CollapseScores
from claas_assets.evaluation.storage.records.stats import CollapseStats

METRIC_COLUMNS = (
    "run_id", "preference", "phase", "step", "snapshot", "metric", "quantity", "unit", "value",
    "n", "lower", "upper", "missing", "reason", "version",
)  # fmt: skip
"""Columns of `metrics.csv`: one row per quantity and state. `phase` is baseline or step; `step` is -1
for the baseline. `value` is empty where not measured; then `reason` says why."""


class MetricTable(Record):
    """`metrics.csv`."""

    run_id: str
    preference: str
    rows: list[dict[str, Any]]
    """With the keys `METRIC_COLUMNS`, in the order of the states."""

    @property
    def steps_recorded(self) -> int:
        """How many steps it was made of."""
        return 1 + max((int(row["step"]) for row in self.rows), default=BASELINE_STEP)


class CollapsePoint(Record):
    """Collapse at one state."""

    step: int
    """-1 for the baseline, then counted from 0."""
    scores: CollapseScores | None
    stats: CollapseStats | None
    unmeasured: dict[str, Unmeasured] = Field(default_factory=dict)
    """Those of `EvalSnapshot.unmeasured` that are about collapse."""


class CollapseRecord(Record):
    """`collapse.json`: collapse wherever it was measured."""

    preference: str
    run_id: str
    series: list[CollapsePoint]
    """In the order of the states."""
    alerts: list[str]
    """With their states: "step 3: loops: …"."""
