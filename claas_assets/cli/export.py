"""`claas-eval export RUN PREFERENCE`: the adapter that a run kept (`keep_steps`), as a PEFT folder in a zip."""

import argparse
from pathlib import Path

from rich.console import Console

from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.names import check_preference_name
from claas_assets.evaluation.storage.run_folder import find_run
from claas_assets.evaluation.storage.stores import fetch


def run(arguments: list[str]) -> int:
    """Raises an `EvaluationError` where the run kept no such adapter, or the file is there already."""
    parser = argparse.ArgumentParser(
        prog="claas-eval export",
        description="Write the adapter that a run kept to a file. On Tinker, say its checkpoint's path.",
    )
    parser.add_argument("run", help="a run folder (a path or an fsspec address), or a run id below ./data/evals")
    parser.add_argument("preference")
    parser.add_argument("--step", type=int, help="counted from 1, as in the terminal (default: the last one kept)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default: <preference>-step-<step>.zip")
    asked = parser.parse_args(arguments)
    folder = find_run(asked.run, chosen_config().results_dir).preference(check_preference_name(asked.preference))
    adapter, kept = folder.adapter(), folder.kept_steps()
    if not kept:
        raise ConfigError(f"{folder.path} keeps no adapter: a run does with keep_steps=[…] (the last step is one then)")
    step = kept[-1] if asked.step is None else asked.step - 1
    file = folder.kept(step)
    if file is None:
        had = ", ".join(str(number + 1) for number in kept)
        raise ConfigError(f"{folder.path} keeps no adapter after step {step + 1}; it does after {had}")
    if file.name.endswith(".json"):
        Console().print(
            f"{adapter.lora_id} after step {step + 1}: {folder.kept_path(step)}", soft_wrap=True, markup=False
        )
        return 0
    target: Path = asked.to or Path(f"{folder.name}-step-{step + 1}.zip")
    try:
        with target.open("xb") as out:
            out.write(fetch(file))
    except FileExistsError:
        raise ConfigError(f"{target} is there already: name another with --to") from None
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    Console().print(f"{target}: {adapter.lora_id} after step {step + 1}", soft_wrap=True, markup=False)
    return 0
