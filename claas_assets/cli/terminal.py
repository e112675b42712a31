"""An evaluation on the terminal: what it does (`live.py`), then the verdicts."""

import shlex

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claas_assets.cli.foreign_text import say
from claas_assets.cli.live import TerminalProgress
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.records import RetentionRecord, Summary, VerdictRecord
from claas_assets.evaluation.storage.stores import Place
from claas_assets.evaluation.terminal_text import one_line
from claas_assets.evaluation.verdict.outcome import grade_words, outcome_of
from claas_assets.launch.evaluation import evaluate, exit_code_of

_GRADE_STYLE = {"pass": "green", "marginal": "yellow", "fail": "red", "inconclusive": "magenta", "unavailable": "dim"}


def show_evaluation(config: EvalConfig) -> int:
    """Run it, show it, and return the exit code."""
    console = Console(stderr=False)
    try:
        with TerminalProgress(config, console) as progress:
            summary = evaluate(config, progress)
    except KeyboardInterrupt:
        say(f"\nstopped; {shlex.quote(f'output_dir={config.output_dir}')} with the same settings goes on")
        raise
    print_summary(summary, config.run_folder, console)
    return exit_code_of(summary, config)


def print_summary(summary: Summary, run_folder: Place, console: Console) -> None:
    """The verdict table of each preference, the verdict in words, and where the files are."""
    for record in summary.values():
        console.print(verdict_table(record))
        if record.retention is not None:
            console.print(retention_table(record.retention))
        style = _GRADE_STYLE.get(record.overall, "magenta")
        # The sentence begins with the outcome, which is said once, and in its color.
        outcome = outcome_of(record)
        rest = record.sentence[len(outcome) :] if record.sentence.lower().startswith(outcome) else record.sentence
        name = Text(one_line(record.preference), "bold")
        space = " " if rest.startswith(" ") else ""
        console.print(Text.assemble(name, ": ", (outcome, style), f"{space}{one_line(rest)}\n"))
        for alert in record.alerts:
            console.print(Text.assemble("  ", ("alert", "red"), f" {one_line(alert)}"))
    console.print(Text(one_line(f"Run folder: {run_folder}")), soft_wrap=True)
    if not is_address(str(run_folder)):
        console.print(Text(one_line(f"In a browser: claas-eval view {shlex.quote(str(run_folder))}")), soft_wrap=True)


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


def retention_table(record: RetentionRecord) -> Table:
    """The matrix: a row a phase's end, a column a preference, shares of held-out prompts that obeyed."""
    table = Table(title=Text("how often each was obeyed, after each phase", "table.title"), title_justify="left")
    table.add_column("after")
    for name in record.preferences:
        table.add_column(one_line(name), justify="right")
    for index, row in enumerate(record.rows):
        after = "untouched" if row.trained is None else f"{row.phase}: {row.trained}"
        own = [index in record.numbers[name].own_rows for name in record.preferences]
        cells = [Text(_number(row.cells[n].value), "bold" if o else "") for n, o in zip(row.cells, own, strict=True)]
        table.add_row(Text(one_line(after)), *cells)
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
