"""What a verdict needs before there is something to rule on: whether all was measured, and what could be taught."""

from collections.abc import Sequence

from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.storage.records import EvalSnapshot, ScoredStep
from claas_assets.evaluation.verdict.outcome import Ruling


def ceiling_of(baseline: EvalSnapshot | None) -> float | None:
    """Share of the prompts that the untrained model obeys when it is told the feedback in the prompt."""
    told = obeyed_in(baseline, "ceiling") if baseline is not None else None
    return told.mean if told is not None else None


def unfinished(baseline: EvalSnapshot | None, steps: Sequence[ScoredStep], num_steps: int) -> Ruling | None:
    """Why there is nothing to rule on yet; None where all steps are recorded, or it stopped early."""
    if baseline is None:
        return Ruling("unfinished", "the baseline has not been measured; run again with the same output_dir to go on")
    if len(steps) < num_steps and not (steps and steps[-1].stopped):
        return Ruling(
            "unfinished", f"{len(steps)} of {num_steps} steps are recorded; run again with the same output_dir to go on"
        )
    if not steps:
        return Ruling("inconclusive", "no feedback was given (num_steps is 0): this measures, and judges nothing")
    return None
