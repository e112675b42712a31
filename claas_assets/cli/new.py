"""`claas-eval new NAME --feedback "…"`: a preference file to go on with, from what a user says."""

import argparse
import asyncio
import shlex
from pathlib import Path

from claas_assets.cli.folders import local_folder
from claas_assets.cli.foreign_text import lines, say
from claas_assets.evaluation.config import preference_folder
from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.judge import chat_model_at, draft_prompts
from claas_assets.evaluation.preferences.draft import FEWEST_PROMPTS, Draft
from claas_assets.evaluation.preferences.feedback_log import read_feedback_log
from claas_assets.evaluation.preferences.preference import load_preference


def run(arguments: list[str]) -> int:
    """Raises an `EvaluationError` where the file is there already, or the log or the model give nothing."""
    parser = argparse.ArgumentParser(
        prog="claas-eval new",
        description="Write a preference file: a choice of verifiers that fit, and prompts of the general bank, of a "
        "feedback log, or drafted by a model. Nothing is evaluated.",
    )
    parser.add_argument("name", metavar="NAME", help="lower-case letters, digits, '_' and '-'")
    parser.add_argument(
        "--feedback", action="append", default=[], metavar="TEXT",
        help="what the user says; given again, another wording of the same",
    )  # fmt: skip
    parser.add_argument("--when-violated", action="store_true", help="feedback only on answers that do not obey")
    parser.add_argument("--from-log", type=local_folder, metavar="DIR", help="take feedback and prompts from a log")
    parser.add_argument("--ask", metavar="MODEL_URL", help="let the OpenAI-compatible model there draft prompts")
    parser.add_argument("--dir", type=local_folder, metavar="FOLDER", help="of preference files")
    asked = parser.parse_args(arguments)
    draft = _draft(asked)
    folder = asked.dir or own_folder()
    is_new = not folder.exists()
    path = draft.write(folder)
    tell(path, draft)
    if is_new and folder == Path("preferences"):
        print("The folder preferences is new: evaluations from here read it, and no longer the shipped files")
    return 0


def own_folder() -> Path:
    """Where a user's files go: the folder that evaluations read, unless that is the one of the installed package."""
    chosen = chosen_config().preferences_dir
    return preference_folder(chosen) if chosen else Path("preferences")


def _draft(asked: argparse.Namespace) -> Draft:
    if asked.from_log and asked.ask:
        raise ConfigError("--from-log and --ask both say where the prompts come from: give one of them")
    policy = "when_violated" if asked.when_violated else "always"
    if asked.from_log:
        return draft_from_log(asked.name, asked.from_log, asked.feedback, policy)
    if not asked.feedback:
        raise ConfigError('say what the user would send: --feedback "Always answer in French"')
    if asked.ask is None:
        return Draft(asked.name, asked.feedback, policy=policy)
    prompts = asyncio.run(_ask(asked.ask, asked.feedback[0]))
    return Draft(asked.name, asked.feedback, prompts, f"Drafted by {asked.ask}", drafted=True, policy=policy)


async def _ask(url: str, feedback: str) -> list[str]:
    async with chat_model_at(url, "--ask") as model:
        return await draft_prompts(model, feedback)


def draft_from_log(name: str, folder: Path, feedback: list[str], policy: str = "always") -> Draft:
    """Of the feedback that is named first, or of the most frequent one. Raises `ConfigError`."""
    log = read_feedback_log(folder)
    for file, reason in log.unreadable.items():
        say(f"{file} was not read: {reason}")
    request = log.request_for(feedback[0] if feedback else None)
    source = f"Prompts of {len(request.items)} items of a feedback log"
    return Draft(name, feedback or [request.text], request.prompts, source, policy=policy)


def tell(path: Path, draft: Draft) -> None:
    """What was written, what it cannot show, and what to do next."""
    print(lines(f"Written: {path}"))
    if draft.prompts and not draft.own_prompts:
        print(f"Fewer than {FEWEST_PROMPTS} different prompts are no evaluation: those of the general bank are used")
    preference = load_preference(draft.name, path.parent)
    for limit in preference.limits:
        print(lines(f"  cannot show: {limit}"))
    here = "" if path.parent == preference_folder(None) else f" {shlex.quote(f'preferences_dir={path.parent}')}"
    print(lines(f"Look at it, then: claas-eval 'preferences=[{draft.name}]'{here}"))
