"""Does the verdict hold on a real model? Trainings of known truth, through `claas-eval` on any deployment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from claas_assets.evaluation.runs.loading import PreferenceRun, read_run
from claas_assets.evaluation.storage.records import EvalSnapshot
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.verdict.outcome import outcome_of

CASES: dict[str, list[str]] = {
    "default": [],
    "nil": ["training.learning_rate=1e-6"],
    "broken": ["training.learning_rate=3e-3"],
    "placebo": ["control=placebo"],
}


class Churn(NamedTuple):
    """Of an untouched model and a trained one: answers that were asked both times, and those that changed."""

    texts: int
    texts_changed: int
    items: int
    items_changed: int


@dataclass(frozen=True)
class Evaluation:
    """One run of one case, and what its verdict says."""

    case: str
    seed: int
    run: PreferenceRun

    @property
    def harms(self) -> list[str]:
        """The criteria by which harm is shown."""
        found = self.run.verdict.criteria.items()
        return [name for name, c in found if c.decides and c.grade == "fail" and c.role in ("guard", "extreme")]

    @property
    def wrong(self) -> str | None:
        """What the verdict says that is not true, or None."""
        outcome, obeyed = outcome_of(self.run.verdict), self.run.verdict.criteria.get("obeyed")
        if self.case == "broken" and (outcome != "harmful" or not self.harms):
            return "a model that was broken is not harmful"
        if self.case in ("nil", "placebo") and obeyed is not None and obeyed.evidence == "shown":
            return "learning is shown where nothing was taught"
        if self.case == "nil" and self.harms:
            return f"harm is shown by {', '.join(self.harms)} where nothing was trained"
        if self.case == "nil" and outcome not in ("not learned", "nothing to teach"):
            return f"where nothing was taught: {outcome}"
        return None


def evaluate(case: str, preference: str, seed: int, results_dir: Path, settings: Sequence[str]) -> Evaluation:
    """One `claas-eval` with further `settings`. Raises `CalledProcessError` where it did not end with a verdict."""
    run_folder = results_dir / f"reality-{preference}-{case}-{seed}"
    asked = [f"preferences=[{preference}]", f"seed={seed}", f"output_dir={run_folder}", *CASES[case]]
    subprocess.run([sys.executable, "-m", "claas_assets", *asked, *settings], check=True, stdout=sys.stderr)
    return Evaluation(case, seed, read_run(RunFolder(run_folder))[preference])


def churn_of(run: PreferenceRun) -> Churn | None:
    """How far the answers of the last state are others than the baseline's; None without both states."""
    if run.baseline is None or not run.steps:
        return None
    before, after = _texts(run.baseline), _texts(run.steps[-1].eval)
    then, now = _items(run.baseline), _items(run.steps[-1].eval)
    texts, items = before.keys() & after.keys(), then.keys() & now.keys()
    return Churn(
        texts=len(texts),
        texts_changed=sum(before[key] != after[key] for key in texts),
        items=len(items),
        items_changed=sum(then[key] != now[key] for key in items),
    )


def _texts(snapshot: EvalSnapshot) -> dict[str, str | None]:
    """Answers that are asked once and decoded alike, by key."""
    asked = [t for t in snapshot.rollouts if t.metadata.kind == "generate" and "/sample/" not in t.key]
    return {t.key: t.answer for t in asked if t.metadata.error is None}


def _items(snapshot: EvalSnapshot) -> dict[str, bool]:
    general = snapshot.stats.general
    return dict(general.items.passed) if general is not None and general.items is not None else {}


def table(found: Iterable[Evaluation]) -> str:
    """One row a run: the conclusion, what decided, how much changed, and whether the verdict is true."""
    head = ("preference", "case", "seed", "outcome", "obeyed", "evidence", "harm shown by", "texts changed",
            "items changed", "true")  # fmt: skip
    rows = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for evaluation in found:
        verdict, churn = evaluation.run.verdict, churn_of(evaluation.run)
        obeyed = verdict.criteria.get("obeyed")
        measured = obeyed is not None and obeyed.value is not None and obeyed.baseline is not None
        rows.append(
            f"| {verdict.preference} | {evaluation.case} | {evaluation.seed} | {outcome_of(verdict)} "
            f"| {f'{obeyed.baseline:.2f} → {obeyed.value:.2f}' if measured else 'not measured'} "
            f"| {(obeyed.evidence or 'none').replace('_', ' ') if obeyed else 'none'} "
            f"| {', '.join(evaluation.harms) or '–'} "
            f"| {f'{churn.texts_changed} of {churn.texts}' if churn else '–'} "
            f"| {f'{churn.items_changed} of {churn.items}' if churn else '–'} "
            f"| {_said_of(evaluation)} |"
        )
    return "\n".join(rows)


def _said_of(evaluation: Evaluation) -> str:
    if evaluation.wrong is not None:
        return f"**no**: {evaluation.wrong}"
    return "(told)" if evaluation.case == "default" else "yes"
