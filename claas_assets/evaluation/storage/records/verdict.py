"""`verdict.json`, a preference's or sequence's entry of `summary.json`, and whether it is of the steps of now."""

from typing import Protocol, TypeVar

from pydantic import Field

from claas_assets.evaluation.storage.records.base import Evidence, Grade, Interval, Outcome, Overall, Record, Role
from claas_assets.evaluation.storage.records.steps import StopRecord


class Criterion(Record):
    """One row of the verdict table."""

    value: float | None
    """In the criterion's unit; null where it could not be judged."""
    baseline: float | None = None
    """The same number before training."""
    change: float | None = None
    """Now minus then, over the units that were measured both times."""
    interval: Interval | None = None
    """Of the change, where there is one."""
    n: int | None = None
    """Units that were measured both times."""
    floor: float | None = None
    """Noise floor of the change, in the criterion's unit."""
    threshold: dict[str, float] = Field(default_factory=dict)
    """The bounds that it was graded by: `pass_at` and `fail_at`."""
    grade: Grade
    evidence: Evidence | None = None
    """What the change is evidence of, where a change is claimed."""
    decides: bool = True
    """Whether it is part of the overall verdict."""
    sentence: str = ""
    """What was measured, in words."""
    reason: str | None = None
    """Why there is no value, or why the grade is another than the value's."""
    role: Role = "told"
    """What it is for: `learning` and `guard` decide; `extreme` decides only where it fails; `told` never."""

    bound: float | None = None
    """The one-sided bound of the change that decided: the lower one of a learning criterion, the upper one of a
    guard that passes or is undecided, the lower one of a guard that fails."""

    gained: int | None = None
    """Units that changed for the better."""

    lost: int | None = None
    """Units that changed for the worse."""

    missing: int | None = None
    """Units of the set without a score in one of the two states: in no mean."""


class Cell(Record):
    """How often one preference was obeyed in one state, on the prompts that decide."""

    value: float | None
    """Share that obeyed, in [0, 1]; null where it was not measured."""
    interval: Interval | None = None
    """Wilson's."""
    n: int = 0
    """Prompts."""
    reason: str | None = None
    """Why there is no value."""


class MatrixRow(Record):
    """One row of the retention matrix: the untouched adapter, or the state at the end of a phase."""

    phase: int
    """0 for the untouched adapter, else that of the sequence's file, counted from 1."""
    step: int
    """The last feedback step before the state; -1 for the untouched adapter."""
    trained: str | None
    """The preference of the phase; null for the untouched adapter."""
    cells: dict[str, Cell]
    """By preference."""


class PreferenceRetention(Record):
    """What became of one preference of a sequence. Shares of held-out prompts that obeyed, in [0, 1]."""

    own_rows: list[int]
    """The rows of the matrix after which it had just been trained."""
    learned: float | None = None
    """Its row minus the last row before its first step."""
    retention: float | None = None
    """The last row minus the row of its last own phase, paired by prompt; null where nothing was trained after it."""
    interval: Interval | None = None
    """Of `retention`: Bonett–Price, 90 %."""
    n: int | None = None
    """Prompts of `retention`."""
    forgetting: float | None = None
    """Its highest row from its first own one on, minus the last row (Chaudhry et al. 2018, arXiv:1801.10112)."""
    forward_transfer: float | None = None
    """The last row before its first step minus row 0 (Lopez-Paz & Ranzato 2017, arXiv:1706.08840)."""
    half_life: int | None = None
    """Feedback steps of later phases after which half of what was learned on trained prompts is lost; null: never."""
    steps_to_obey: int | None = None
    """Feedback steps of its first phase until 0.8 of its trained prompts obey; null: never."""
    opposes: str | None = None
    """The earlier preference of the sequence whose opposite it asks for: `steps_to_obey` of both is the reversal."""


class RetentionRecord(Record):
    """What a sequence taught and what was forgotten: the retention matrix, and the numbers made of it."""

    preferences: list[str]
    """The columns: in the order of first training."""
    rows: list[MatrixRow]
    """In the order of time; fewer than phases + 1 where the run did not finish."""
    numbers: dict[str, PreferenceRetention]
    """By preference."""
    backward_transfer: float | None = None
    """Mean retention of the preferences after which another was trained (arXiv:1706.08840)."""
    backward_transfer_range: tuple[float, float] | None = None
    """The smallest and the largest of these retentions."""
    backward_transfer_interval: Interval | None = None
    """Student's t over these preferences, 95 %; null with fewer than five of them, where nothing is claimed."""


class VerdictRecord(Record):
    """`verdict.json`, and a preference's entry of `summary.json`."""

    preference: str
    lora_id: str
    run_id: str
    logprob_margin_delta: float | None
    """Nats: the last state's margin minus the baseline's."""
    final_compliance: float | None
    """The last state's `preference_compliance`: mean score on trained prompts, in [0, 1]. It does not decide."""
    capability_ratio: float | None
    """`general_score` of the last state over the baseline's: the four public probes. It does not decide."""
    overall: Overall
    """`unfinished`: fewer steps are recorded than were asked for, or nothing has judged them yet."""
    sentence: str
    """The verdict in words."""
    criteria: dict[str, Criterion]
    """By name, in the order of the table; none where there is nothing to judge."""
    alerts: list[str] = Field(default_factory=list)
    """Collapse alerts with their states."""
    stopped: StopRecord | None = None
    """Why the run ended before its last step; null where it did not."""
    notes: list[str] = Field(default_factory=list)
    """What one should know beside the criteria."""
    steps_recorded: int = 0
    """Steps that it was made of. Where more are recorded by now, it is out of date."""
    num_steps: int = 0
    """Steps asked for."""
    interrupted_steps: list[int] = Field(default_factory=list)
    """Steps of whose feedback it is not known whether it trained."""
    versions: dict[str, int] = Field(default_factory=dict)
    """Metric or prompt set → the version that scored the last state."""
    outcome: Outcome | None = None
    """The conclusion in a word or two; None in files of version 0.1.0."""

    retention: RetentionRecord | None = None
    """Of a sequence; null for a preference alone."""

    control: str = "none"
    """`placebo` or `shuffled` where the feedback was not the preference's: such a run never reads as learned."""

    looks: int = 1
    """How many times a last step was judged: `num_steps` may grow, and each look is a chance to be wrong."""
    corrections: int | None = None
    """Answers that feedback was given on in all steps: the cost to learn. Null where a step does not say it."""

    @property
    def learning(self) -> str:
        """The name of the criterion on what was learned; in a verdict of version 0.1.0, `compliance`; of a sequence,
        that of the preference that was learned least."""
        of_phases = [name for name in self.criteria if name.startswith("learned.")]
        if of_phases:
            return min(of_phases, key=lambda name: self.criteria[name].value or 0.0)
        return "compliance" if "compliance" in self.criteria else "obeyed"


Summary = dict[str, VerdictRecord]
"""`summary.json`: every preference of the run that has an adapter; one that did not finish is `unfinished`."""


class MadeOfSteps(Protocol):
    """A result that knows how many steps it was made of."""

    @property
    def steps_recorded(self) -> int: ...


Result = TypeVar("Result", bound=MadeOfSteps)


def current(result: Result | None, recorded: int) -> Result | None:
    """`result`, or None where it was made of other steps than the `recorded` that there are now."""
    return result if result is not None and result.steps_recorded == recorded else None


def judged(verdict: VerdictRecord | None, recorded: int, asked: int) -> VerdictRecord | None:
    """The verdict of a preference that is finished: it is of all recorded steps, and no step is to follow."""
    now = current(verdict, recorded)
    ended = now is not None and (recorded >= asked or now.stopped is not None)
    return now if ended and now is not None and now.overall != "unfinished" else None
