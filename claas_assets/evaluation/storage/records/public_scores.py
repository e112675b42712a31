"""The scores of the public harness, field for field: its readers are strict here."""

from claas_assets.evaluation.storage.records.base import Record


class LogprobMargin(Record):
    """How much likelier the preferred answers are than the others. Means over pairs, nats."""

    positive_logprob: float | None
    """Mean logprob of the preferred answers."""
    negative_logprob: float | None
    """Mean logprob of the dispreferred answers."""
    margin: float | None
    """`positive_logprob - negative_logprob`."""
    margin_delta_from_baseline: float | None
    """`margin` minus the baseline's; null in the baseline itself."""


class GeneralScores(Record):
    """The four probes of the public harness."""

    coding_correct: bool | None
    """Whether the Fibonacci program is right."""
    coding_has_docstring: bool | None
    """Whether it has a docstring."""
    ifeval_pass_rate: float | None
    """Share of the three instruction probes that are obeyed, in [0, 1]."""
    general_score: float | None
    """`0.5·coding_correct + 0.5·ifeval_pass_rate`, in [0, 1]."""


class CollapseScores(Record):
    """The public harness's collapse numbers, on its one prompt about the ocean."""

    mean_entropy: float | None
    """Nats a token, of the answer at temperature 0."""
    mean_logprob: float | None
    """Nats a token, of the same answer."""
    entropy_ratio_to_baseline: float | None
    """`mean_entropy` over the baseline's; null in the baseline itself."""
    self_rouge_l: float | None
    """How alike the sampled answers are: mean pairwise ROUGE-L F1, in [0, 1]."""
    mean_logprob_drift: float | None
    """Nats: absolute difference of `mean_logprob` from the baseline's."""
    alert: bool
    """Whether one of the above is beyond the public harness's bounds."""
