"""Asset checks: what to look at in a run, at a glance. None blocks: a bad verdict is a result too."""

import warnings
from collections.abc import Callable
from typing import Any

import dagster as dg

from claas_assets.evaluation.figures.inline import INLINE_LIMIT
from claas_assets.evaluation.verdict import check_outcomes as outcomes
from claas_assets.evaluation.verdict.check_outcomes import CheckOutcome

Judge = Callable[[Any], CheckOutcome]

CHECKS: tuple[tuple[str, str, Judge, str], ...] = (
    ("training_steps", "steps_complete", outcomes.steps_complete,
     "Every feedback step that was asked for is recorded, none interrupted."),
    ("metric_table", "no_failed_probes", outcomes.no_failed_probes,
     "Every probe that should have been answered was. An error where a number of the baseline or the last step lacks."),
    ("collapse_snapshots", "no_collapse_alert", outcomes.no_collapse_alert,
     "The model has not degenerated at any step measured. An error where the last state has an alert."),
    ("verdict", "capability_retained", outcomes.capability_retained,
     "It can still do what it could: the capability items against the baseline. The four probes do not decide."),
    ("verdict", "preference_learned", outcomes.preference_learned,
     "It obeys on held-out prompts more often than before, beyond noise, and often enough."),
    ("verdict", "no_over_application", outcomes.no_over_application,
     "It does not apply the preference where it does not belong."),
    ("verdict", "baseline_has_headroom", outcomes.baseline_has_headroom,
     "The untouched model did not obey already: else nothing can be shown to have been learned."),
)  # fmt: skip
"""(asset, name, what is asked of its record, description)"""


def evaluation_checks(preferences: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """The checks of `CHECKS`, partitioned by preference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of partitioned checks; the version is pinned
        return [_check(preferences, *row) for row in CHECKS]


def _check(
    preferences: dg.PartitionsDefinition, asset: str, name: str, judge: Judge, description: str
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=description, partitions_def=preferences, blocking=False)
    def check(record: Any) -> dg.AssetCheckResult:
        return as_result(judge(record))

    return check


def as_result(outcome: CheckOutcome) -> dg.AssetCheckResult:
    lines = "\n".join(f"- {line}" for line in outcome.lines)
    return dg.AssetCheckResult(
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.ERROR if outcome.severe else dg.AssetCheckSeverity.WARN,
        description=outcome.said,
        metadata={
            **{name: float(value) for name, value in outcome.numbers.items() if value is not None},
            **({"details": dg.MetadataValue.md(lines[: INLINE_LIMIT - 1])} if lines else {}),
        },
    )
