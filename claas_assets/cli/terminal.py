"""An evaluation on the terminal: what it does, step, numbers so far, time left; then the verdicts."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from claas_assets.cli.foreign_text import say
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.records import Summary, VerdictRecord
from claas_assets.evaluation.storage.stores import Place
from claas_assets.evaluation.terminal_text import one_line
from claas_assets.evaluation.verdict.outcome import grade_words, outcome_of
from claas_assets.launch.evaluation import evaluate, exit_code_of

_GRADE_STYLE = {"pass": "green", "marginal": "yellow", "fail": "red", "inconclusive": "magenta", "unavailable": "dim"}
_BASELINE_WEIGHT = 3.0  # a full snapshot takes about as long as three steps; replaced by what is measured


class TerminalProgress:
    """Shows events as they come: a bar on a terminal, and a lasting line for what is finished."""

    def __init__(self, config: EvalConfig, console: Console) -> None:
        self.config = config
        self.console = console
        self.done_units = 0.0
        self.began: float | None = None
        self.units_began: dict[str, float] = {}
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID = self.bar.add_task("starting", total=None, left="")

    def __enter__(self) -> TerminalProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        if event.stage in ("note", "deployment", "adapter", "baseline", "step"):
            self.console.print(self._line(event), highlight=False, soft_wrap=True)
        if event.stage in ("baseline", "step"):
            self.done_units += _BASELINE_WEIGHT if event.stage == "baseline" else 1.0
        if event.stage == "adapter" and self.began is None:
            self.began = time.monotonic()
        where = f"{event.preference} " if event.preference else ""
        at = "baseline" if event.step is None else f"step {event.step + 1}/{self.config.num_steps}"
        self.bar.update(
            self.task,
            description=one_line(f"{where}{at} · {event.message}"),
            total=event.total,
            completed=event.done or 0,
            left=self.time_left(),
        )

    def time_left(self) -> str:
        """From the pace so far: every preference is a baseline and `num_steps` steps."""
        if self.began is None or self.done_units < _BASELINE_WEIGHT:
            return ""
        total = len(self.config.preferences) * (_BASELINE_WEIGHT + self.config.num_steps)
        pace = (time.monotonic() - self.began) / self.done_units
        seconds = max(0.0, (total - self.done_units) * pace)
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _line(self, event: Event) -> Text:
        parts = [(one_line(event.preference), "bold"), (one_line(event.message), "")]
        parts += [(f"{name} {value:.3g}", "") for name, value in event.numbers.items() if value is not None]
        parts.append((self.time_left() if event.stage in ("baseline", "step") else "", "dim"))
        return Text("  ").join(Text(text, style) for text, style in parts if text)


def show_evaluation(config: EvalConfig) -> int:
    """Run it, show it, and return the exit code."""
    console = Console(stderr=False)
    try:
        with TerminalProgress(config, console) as progress:
            summary = evaluate(config, progress)
    except KeyboardInterrupt:
        say(f"\nstopped; output_dir={config.output_dir} with the same settings goes on")
        raise
    print_summary(summary, config.run_folder, console)
    return exit_code_of(summary, config)


def print_summary(summary: Summary, run_folder: Place, console: Console) -> None:
    """The verdict table of each preference, the verdict in words, and where the files are."""
    for record in summary.values():
        console.print(verdict_table(record))
        style = _GRADE_STYLE.get(record.overall, "magenta")
        # The sentence begins with the outcome, which is said once, and in its color.
        outcome = outcome_of(record)
        rest = record.sentence[len(outcome) :] if record.sentence.lower().startswith(outcome) else record.sentence
        name = Text(one_line(record.preference), "bold")
        console.print(Text.assemble(name, ": ", (outcome, style), f"{_space(rest)}{one_line(rest)}\n"))
        for alert in record.alerts:
            console.print(Text.assemble("  ", ("alert", "red"), f" {one_line(alert)}"))
    console.print(Text(one_line(f"Run folder: {run_folder}")), soft_wrap=True)
    if not is_address(str(run_folder)):
        console.print(Text(one_line(f"In a browser: claas-eval view {run_folder}")), soft_wrap=True)


def _space(rest: str) -> str:
    return " " if rest.startswith(" ") else ""


def verdict_table(record: VerdictRecord) -> Table:
    title = one_line(f"{record.preference} · {record.lora_id}")
    table = Table(title=Text(title, "table.title"), title_justify="left")
    for column in ("criterion", "baseline", "value", "grade", "evidence"):
        table.add_column(column, justify="right" if column in ("baseline", "value") else "left")
    for name, criterion in record.criteria.items():
        table.add_row(
            Text(name),
            _number(criterion.baseline),
            _number(criterion.value),
            Text(grade_words(criterion), _GRADE_STYLE[criterion.grade] if criterion.decides else "dim"),
            Text(one_line(criterion.sentence or criterion.reason or "")),
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
