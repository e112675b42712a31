"""`claas-eval --dry-run`: what an evaluation would ask, and how much it is. Nothing is sent, and no run folder made."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.training.cost import Cost, cost_of


def show_plan(config: EvalConfig) -> int:
    """Print it; the exit code is 0. Raises `PreferenceError` as an evaluation would."""
    sequences = {name: load_sequence(name, config.preference_folder()) for name in config.preferences}
    costs = {name: cost_of(config, sequence) for name, sequence in sequences.items()}
    console = Console(highlight=False)
    where = config.claas_url or "a stack of this machine, found or started"
    doing = (
        f"audit of {config.lora_id}" if config.lora_id else f"{config.num_steps} steps of {config.batch_size} rollouts"
    )
    console.print(Text(f"{config.mode} at {where}, {config.base_model}: {doing}; {', '.join(config.metrics)}"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("preference", "requests", "chats", "scores", "feedback", "tokens generated at most"):
        table.add_column(column, justify="left" if column == "preference" else "right")
    for name, cost in costs.items():
        table.add_row(name, *_numbers(cost))
    if len(costs) > 1:
        table.add_row("all", *_numbers(sum(costs.values(), Cost(0, 0, 0, 0))))
    console.print(table)
    for name, sequence in sequences.items():
        if not sequence.is_alone:
            console.print(Text(f"{name}: {sequence.words(config.num_steps)}"))
    console.print(
        Text(
            f"Run folder: {config.output_dir}. These are upper bounds: a deployment that gives the same texts "
            "again is asked less. Nothing was sent. How long it takes: claas-eval check"
        )
    )
    return 0


def _numbers(cost: Cost) -> list[str]:
    return [f"{number:,}" for number in (cost.requests, cost.chats, cost.scores, cost.feedback, cost.most_tokens)]
