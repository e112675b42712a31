"""`claas-eval --help`: the subcommands, and every key with its default and what it means."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from claas_assets.evaluation.config import EvalConfig, Thresholds

_USAGE = """\
claas-eval [KEY=VALUE ...]               evaluate; the defaults are those of mode=embedded
claas-eval --dry-run [KEY=VALUE ...]     what would be asked, and how much it is; nothing is sent
claas-eval --multirun KEY=A,B ...        a run for every combination: a sweep
claas-eval --cfg job [KEY=VALUE ...]     the configuration that would be used
claas-eval COMMAND --help                one of the commands below"""


def show_help(subcommands: Mapping[str, str]) -> int:
    """Print it; the exit code is 0. `subcommands`: name → module, whose docstring's first line says what it does."""
    console = Console(highlight=False)
    console.print("Does the feedback move the model towards what the user prefers, and what does it cost?\n")
    console.print(_USAGE, markup=False)
    console.print(_table("Commands", ((name, _summary(module)) for name, module in subcommands.items())))
    console.print(_table("Keys", _keys(EvalConfig)))
    console.print(
        "Lists are written 'metrics=[logprob,general]', in quotes for the shell. More: docs/configuration.md",
        markup=False,
    )
    return 0


def no_such_command(word: str, subcommands: Mapping[str, str]) -> str | None:
    """What to say of a first word that is neither a key with a value nor a flag; None where it is one."""
    if not word or word.startswith("-") or "=" in word:
        return None
    near = get_close_matches(word, subcommands, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"there is no command {word!r}.{meant} Commands: {', '.join(subcommands)}; keys are given as KEY=VALUE"


def _summary(module: str) -> str:
    first = (import_module(module).__doc__ or "").strip().splitlines()[0]
    return first.split("`: ", 1)[-1].rstrip(".")


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and not isinstance(default, Thresholds):
            yield from _keys(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _meaning(field, default)


def _meaning(field: FieldInfo, default: object) -> str:
    if isinstance(default, Thresholds):
        return "bounds of the verdict's criteria: docs/metrics.md"
    allowed = f": {', '.join(get_args(field.annotation))}" if get_origin(field.annotation) is Literal else ""
    return f"{field.description or ''}{allowed} ({_written(default)})"


def _written(default: object) -> str:
    """A value as the command line takes it."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return f"[{','.join(map(str, default))}]" if isinstance(default, tuple) else str(default)


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, show_header=False)
    for name, meaning in rows:
        table.add_row(Text(name, no_wrap=True), Text(meaning))
    return table
