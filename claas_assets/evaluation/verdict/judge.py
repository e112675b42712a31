"""How far a judge's word goes: as far as it agrees with a person."""

from claas_assets.evaluation.storage.records import EvalSnapshot

LEAST_KAPPA = 0.6
"""Cohen's κ with a person from which a judge is believed ("substantial", Landis & Koch 1977)."""

LEAST_LABELED = 20
"""Labeled answers: with fewer, κ says nothing."""


def distrusted_judge(baseline: EvalSnapshot | None) -> str | None:
    """Why the judge among the verifiers is not believed; None where it is, or there is none."""
    judge = baseline.stats.compliance.judge if baseline is not None and baseline.stats.compliance is not None else None
    if judge is None:
        return None
    if judge.n == 0 and not judge.missing:
        return "the judge was not calibrated: name labeled answers in the preference's calibration"
    if judge.n < LEAST_LABELED:
        why = f"; one of {len(judge.missing)} without: {next(iter(judge.missing.values()))}" if judge.missing else ""
        return f"the judge was calibrated on {judge.n} labeled answers, and {LEAST_LABELED} are needed{why}"
    if judge.kappa is None:
        return f"the judge and the person say the same word on all {judge.n} labeled answers, which shows nothing"
    if judge.kappa < LEAST_KAPPA - 1e-9:
        return (
            f"the judge agrees with a person on {judge.agreement:.0%} of {judge.n} labeled answers, "
            f"κ = {judge.kappa:.2f}, and {LEAST_KAPPA} is needed"
        )
    return None
