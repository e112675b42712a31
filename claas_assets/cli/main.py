"""`claas-eval`: the Hydra application, its subcommands, and what surrounds them.

Exit codes: 0 complete, whatever the verdict; 1 a deployment or a run; 2 the configuration, before
anything was sent; 3 a verdict that `fail_on` names; 130 Ctrl-C.
"""

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from claas_assets import __version__
from claas_assets.cli.foreign_text import say, unbreakable_output
from claas_assets.cli.help import no_such_command, show_help
from claas_assets.cli.multirun import Sweep
from claas_assets.evaluation.config import PUBLIC_TOP_LEVEL, EvalConfig, load_config
from claas_assets.evaluation.errors import ConfigError, EvaluationError

SUBCOMMANDS = {
    "check": "claas_assets.cli.check",
    "clean": "claas_assets.cli.clean",
    "compare": "claas_assets.cli.compare",
    "export": "claas_assets.cli.export",
    "gateway-config": "claas_assets.cli.gateway_config",
    "import": "claas_assets.cli.import_results",
    "log": "claas_assets.cli.log",
    "new": "claas_assets.cli.new",
    "preferences": "claas_assets.cli.preferences",
    "prune": "claas_assets.cli.prune",
    "report": "claas_assets.cli.report",
    "rescore": "claas_assets.cli.rescore",
    "view": "claas_assets.cli.view",
}
"""Modules with `run(arguments) -> exit code`, by the first word of the command line. Hydra does not see them."""

DRY_RUN = "--dry-run"


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `claas-eval` and `python -m claas_assets`."""
    if arguments is not None:
        sys.argv = [sys.argv[0], *arguments]
    unbreakable_output()
    sys.argv[1:] = [_as_ours(argument) for argument in sys.argv[1:]]
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit(_run(first))


def _run(first: str) -> int:
    if first in SUBCOMMANDS:
        return run_subcommand(first, sys.argv[2:])
    if first in ("--help", "-h", "help"):
        return show_help(SUBCOMMANDS)
    if first in ("--version", "-V"):
        print(f"claas-eval {__version__}")
        return 0
    wrong = no_such_command(first, SUBCOMMANDS)
    if wrong is not None:
        say(f"claas-eval: {wrong}")
        return 2
    if DRY_RUN in sys.argv:
        from claas_assets.cli.dry_run import show_plan

        sys.argv.remove(DRY_RUN)
        return _evaluate(show_plan)
    return _evaluate()


def _as_ours(argument: str) -> str:
    """`steps_per_batch=2`, as the public harness has it at the top, is `training.steps_per_batch=2`: Hydra takes only
    keys that are in the YAML."""
    key = argument.lstrip("+").partition("=")[0]
    return f"training.{argument.lstrip('+')}" if "=" in argument and key in PUBLIC_TOP_LEVEL else argument


def run_subcommand(name: str, arguments: list[str]) -> int:
    """Its exit code: what it returns, that of our error, or 2 where argparse has said what is wrong."""
    try:
        code: int = import_module(SUBCOMMANDS[name]).run(arguments)
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:  # argparse: after the help, or after a mistake
        return int(ended.code or 0)
    except EvaluationError as error:
        say(f"claas-eval {name}: {error}")
        return error.exit_code
    return code


def _evaluate(do: Callable[[EvalConfig], int] | None = None) -> int:
    """The exit code of the command line as Hydra reads it: the highest one of a sweep's jobs.

    `do` takes each job's configuration; None evaluates it.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us as exceptions rather than as Hydra's exit 1
    sweep, codes = Sweep(), [0]
    sweep.register_resolvers()

    @hydra.main(config_path="pkg://claas_assets.configs", config_name="base")
    def application(composed: DictConfig) -> None:
        codes.append(_evaluate_job(composed, sweep, do))

    try:
        application()
    except KeyboardInterrupt:
        return 130
    except (HydraException, OmegaConfBaseException) as error:
        say(f"claas-eval: {explain_hydra(error)}")
        return 2
    finally:
        if do is None:
            sweep.say_how_to_go_on()
    return max(codes)


def _evaluate_job(composed: DictConfig, sweep: Sweep, do: Callable[[EvalConfig], int] | None) -> int:
    from claas_assets.cli.terminal import show_evaluation  # Dagster: a second

    # Hydra prints a line of its own for an exception that leaves its function: ours do not leave it.
    try:
        config = sweep.config_of(composed)
        sweep.check_job(config)
        sweep.say_which_job()
        return (do or show_evaluation)(config)
    except EvaluationError as error:
        say(f"claas-eval: {error}")
        return error.exit_code


def explain_hydra(error: Exception) -> str:
    """Hydra's message, with the allowed keys where a key does not exist."""
    texts = [str(error)]
    cause = error.__cause__ or error.__context__
    if cause is not None and str(cause) not in texts[0]:
        texts.append(str(cause))
    text = "\n".join(texts)
    missing = re.search(r"Could not (?:override|append to config|delete from config)[^']*'([\w./@]+)'", text)
    if missing and ("not in struct" in text or "No match" in text):
        try:
            load_config({"mode": "embedded", **_nested(missing.group(1))})
        except ConfigError as ours:
            return str(ours)
    return text.split("Config search path:")[0].strip()


def _nested(dotted: str) -> dict[str, Any]:
    head, _, rest = dotted.partition(".")
    return {head: _nested(rest) if rest else None}


if __name__ == "__main__":
    main()
