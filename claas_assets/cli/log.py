"""`claas-eval log DIR`: what users asked of an adapter, by a CLaaS feedback log, and which preference covers it."""

import argparse
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claas_assets.cli.folders import local_folder
from claas_assets.cli.foreign_text import cell, say
from claas_assets.cli.new import draft_from_log, own_folder, tell
from claas_assets.evaluation.config_files import chosen_config
from claas_assets.evaluation.errors import EvaluationError
from claas_assets.evaluation.preferences.feedback_log import FeedbackLog, Request, covers, read_feedback_log
from claas_assets.evaluation.preferences.preference import Preference, load_preference, preference_names


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 where a file of the log could not be read."""
    parser = argparse.ArgumentParser(
        prog="claas-eval log",
        description="Read a CLaaS feedback log (a folder of JSON files, one a batch): what was asked for, when, how "
        "often, and which preference covers it. Sends nothing.",
    )
    parser.add_argument("log", type=local_folder, metavar="DIR", help="the folder of the log")
    parser.add_argument("--draft", metavar="NAME", help="write a preference file of that name from it")
    parser.add_argument("--feedback", metavar="TEXT", help="with --draft: which feedback; default: the most frequent")
    parser.add_argument("--dir", type=local_folder, metavar="FOLDER", help="of preference files")
    asked = parser.parse_args(arguments)
    log = read_feedback_log(asked.log)
    folder: Path = asked.dir or chosen_config().preference_folder()
    show(log, _preferences(folder), Console(highlight=False))
    for file, reason in log.unreadable.items():
        say(f"{file} was not read: {reason}")
    if asked.draft:
        draft = draft_from_log(asked.draft, asked.log, [asked.feedback] if asked.feedback else [])
        tell(draft.write(asked.dir or own_folder()), draft)
    return 1 if log.unreadable else 0


def _preferences(folder: Path) -> list[Preference]:
    """Those that can be read; what is wrong with the others is said."""
    found = []
    for name in preference_names(folder):
        try:
            found.append(load_preference(name, folder))
        except EvaluationError as error:
            say(f"not compared with: {error}")
    return found


def show(log: FeedbackLog, preferences: list[Preference], console: Console) -> None:
    """A row a feedback, the most frequent first."""
    failed = sum(not item.trained for item in log.items)
    gone = f", {failed} of them in batches that failed" if failed else ""
    console.print(f"{log.files} files, {len(log.items)} items of feedback{gone}; {len(log.unreadable)} files not read")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("times", "feedback", "first", "last", "prompts", "adapters", "covered by"):
        table.add_column(column, justify="right" if column in ("times", "prompts") else "left")
    for request in log.requests:
        table.add_row(*_row(request, preferences))
    console.print(table)
    console.print("A preference file from it: claas-eval new NAME --from-log DIR --feedback TEXT", markup=False)


def _row(request: Request, preferences: list[Preference]) -> list[Text]:
    covered = ", ".join(p.name for p in preferences if covers(p, request.text)) or "none"
    return [
        cell(str(len(request.items))), cell(request.text, 120), cell(_day(request.first)), cell(_day(request.last)),
        cell(str(len(request.prompts))), cell(", ".join(request.adapters), 80), cell(covered),
    ]  # fmt: skip


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
