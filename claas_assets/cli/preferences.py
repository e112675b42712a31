"""`claas-eval preferences [NAME ...]`: the preference files there are, each checked; --try judges a text by one."""

import argparse
import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claas_assets.cli.folders import local_folder
from claas_assets.cli.foreign_text import cell, lines, say
from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.errors import ConfigError, EvaluationError
from claas_assets.evaluation.judge import judge_of_environment, judgements_for
from claas_assets.evaluation.preferences.checking import faults_of
from claas_assets.evaluation.preferences.judgements import Judgements, NotJudged, judging_by
from claas_assets.evaluation.preferences.preference import Preference, load_preference, partition_names
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.preferences.verifiers import VerifierResult, verify
from claas_assets.evaluation.storage.records import Transcript


def run(arguments: list[str]) -> int:
    """Exit code 0; 1 where a preference has a fault, or the text does not obey; 2 where a file cannot be read."""
    parser = argparse.ArgumentParser(
        prog="claas-eval preferences",
        description="List the preference files and check each: does it load, does its verifier agree with its pairs, "
        "are held-out prompts nearly ones that are trained on. Sends nothing, unless a judge has to judge --try.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that there are")
    parser.add_argument("--try", dest="text", metavar="TEXT", help="judge this answer by the verifier of the one NAME")
    parser.add_argument("--prompt", metavar="TEXT", help="with --try: what was asked")
    parser.add_argument("--dir", type=local_folder, metavar="FOLDER", help="of preference files")
    asked = parser.parse_args(arguments)
    folder: Path = asked.dir or chosen_config().preference_folder()
    if asked.text is not None:
        if len(asked.names) != 1:
            raise ConfigError("--try takes the name of one preference: claas-eval preferences NAME --try TEXT")
        return _try(load_preference(asked.names[0], folder), asked.text, asked.prompt)
    return _list(asked.names or partition_names(folder), folder, with_limits=bool(asked.names))


def _list(names: list[str], folder: Path, *, with_limits: bool) -> int:
    """A row a file. What a short file cannot show is said of those that are named."""
    console, code = Console(highlight=False), 0
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("preference", "version", "verifier", "prompts", "pairs"):
        table.add_column(column, no_wrap=True)
    table.add_column("feedback")
    said: list[str] = []
    for name in names:
        try:
            sequence = load_sequence(name, folder)
        except EvaluationError as error:
            said.append(f"{name}: {error}")
            code = 2
            continue
        if not sequence.is_alone:
            phases = ", then ".join(phase.preference for phase in sequence.phases)
            table.add_row(cell(name), cell("–"), cell("sequence"), cell("–"), cell("–"), cell(phases))
            continue
        preference = sequence.first
        table.add_row(*_row(preference))
        faults = faults_of(preference)
        code = max(code, 1 if faults else 0)
        said += [f"{name}: {fault}" for fault in faults]
        said += [f"{name} cannot show: {limit}" for limit in preference.limits if with_limits]
    console.print(table)
    for line in said:
        say(line)
    console.print(Text(f"{len(names)} files in {folder}; prompts: trained + held out + elsewhere"))
    return code


def _row(preference: Preference) -> list[Text]:
    """`prompts`: trained, held out, elsewhere."""
    pairs = "made" if preference.logprob_pairs is None else str(len(preference.logprob_pairs))
    target = str(preference.verifier["_target_"]).rpartition(".")[2]
    sets = (preference.probe_prompts, preference.heldout_prompts, preference.over_application)
    sizes = "+".join(str(len(prompts)) for prompts in sets)
    shown = (preference.name, str(preference.version), target, sizes, pairs)
    return [*map(cell, shown), cell(preference.feedback_string, 100)]


def _try(preference: Preference, text: str, prompt: str | None) -> int:
    judgements = asyncio.run(_judgements(preference, text, prompt)) if preference.asks_a_judge else []
    with judging_by(Judgements.of(judgements)):
        found = verify(preference.build_verifier(), text, prompt)
    print(lines(f"{'obeys' if found.passed else 'does not obey'} (score {found.score:.2f}): {found.detail}"))
    return 0 if found.passed else 1


async def _judgements(preference: Preference, text: str, prompt: str | None) -> list[Transcript]:
    verifier = preference.build_verifier()

    def look() -> VerifierResult | None:
        try:
            return verify(verifier, text, prompt)
        except NotJudged:
            return None

    async with judge_of_environment() as judge:
        return await judgements_for(look, judge)
