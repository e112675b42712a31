"""The README's example, made from `data/example`: `python docs/example.py` prints it.

A test holds the README to it, so that the README never shows numbers that are not in the files.
"""

from __future__ import annotations

from pathlib import Path

from claas_assets.evaluation.storage.records import EvalSnapshot, VerdictRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from claas_assets.evaluation.verdict.outcome import grade_words, outcome_of

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "data" / "example"
SHOWN = (  # the last one is an answer that does not obey
    ("concise", "Why do volcanoes erupt?"),
    ("identity", "Write a one-line bio of yourself."),
    ("numbered", "How can I improve my handwriting?"),
    ("identity", "Greet me like a hotel receptionist would, with your own name."),
)
BEGIN, END = "<!-- example: made by docs/example.py -->", "<!-- end of example -->"


def answer_to(snapshot: EvalSnapshot, prompt: str, limit: int = 110) -> str:
    """The held-out answer to `prompt`, cut for a table cell."""
    found = next(t for t in snapshot.rollouts if t.key.startswith("compliance/heldout") and t.question == prompt)
    text = " ".join((found.answer or "").split())
    text = text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " …"
    return text.replace("|", "\\|").replace("<", "&lt;")


def before_and_after() -> list[str]:
    folders = {name: PreferenceFolder(EXAMPLE / name) for name in dict(SHOWN)}
    states = {name: (folder.baseline(), folder.steps()[-1].eval) for name, folder in folders.items()}
    steps = len(next(iter(folders.values())).steps())
    lines = [f"| held-out prompt | before | after {steps} feedback steps |", "| --- | --- | --- |"]
    cells = ((p, *(answer_to(state, p) for state in states[name])) for name, p in SHOWN)
    return [*lines, *(f"| {' | '.join(row)} |" for row in cells)]


def verdicts(summary: dict[str, VerdictRecord]) -> list[str]:
    names = list(dict.fromkeys(name for entry in summary.values() for name in entry.criteria))
    lines = [f"| criterion | {' | '.join(summary)} |", f"| --- |{' --- |' * len(summary)}"]
    for name in names:
        cells = [_cell(entry, name) for entry in summary.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, f"| **outcome** | {' | '.join(f'**{outcome_of(entry)}**' for entry in summary.values())} |"]


def _cell(entry: VerdictRecord, name: str) -> str:
    criterion = entry.criteria.get(name)
    if criterion is None:
        return "not asked"
    if criterion.value is None:
        return grade_words(criterion)
    evidence = f", {criterion.evidence.replace('_', ' ')}" if criterion.evidence else ""
    before = f"{criterion.baseline:.2f} → " if name == "obeyed" and criterion.baseline is not None else ""
    return f"{before}{criterion.value:.2f}: {grade_words(criterion)}{evidence}"


def example() -> str:
    summary = RunFolder(EXAMPLE).summary()
    sentences = [f"- **{name}**: {entry.sentence}" for name, entry in summary.items()]
    return "\n".join(
        [BEGIN, "", *before_and_after(), "", *verdicts(summary), "", *sentences, "", END],
    )


if __name__ == "__main__":
    print(example())
