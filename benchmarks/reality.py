"""Does the verdict hold on a real model? Three evaluations of `identity` on the embedded stack.

    python -m benchmarks.reality [--steps N] [--results-dir FOLDER]

The default configuration must be `shown`; a learning rate of 3e-3, which breaks the model, must not
pass, and the reason must be named; feedback that says nothing about the preference must not be `shown`.
Each is one run of one seed of `claas-eval`, in a folder of its own: run again, it goes on there. Prints
a Markdown table; some 12 minutes an evaluation on two quiet cores at 20 steps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from claas_assets.evaluation.config import preference_folder
from claas_assets.evaluation.storage.records import VerdictRecord
from claas_assets.evaluation.storage.run_folder import RunFolder

PREFERENCE = "identity"
PLACEBO = "Thanks. What is 27 times 4?"
CASES = {
    "default": [],
    "learning_rate_3e-3": ["training.learning_rate=3e-3"],
    "placebo_feedback": [],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--results-dir", type=Path, default=Path("data/evals"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        placebo = placebo_preferences(Path(folder))
        verdicts = {
            case: evaluate(
                [
                    *overrides,
                    f"num_steps={asked.steps}",
                    f"output_dir={asked.results_dir}/reality-{case}-{asked.steps}",
                    *([f"preferences_dir={placebo}"] if case == "placebo_feedback" else []),
                ]
            )
            for case, overrides in CASES.items()
        }
    print(table(verdicts))
    for case, verdict in verdicts.items():
        print(f"- **{case}**: {verdict.sentence}")
        print("".join(f"    - {alert}\n" for alert in verdict.alerts), end="")


def placebo_preferences(folder: Path) -> Path:
    """A folder with `identity` as it is, but for its feedback."""
    text = (preference_folder(None) / f"{PREFERENCE}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    (folder / f"{PREFERENCE}.yaml").write_text(yaml.safe_dump({**values, "feedback_string": PLACEBO}), "utf-8")
    return folder


def evaluate(overrides: list[str]) -> VerdictRecord:
    """The verdict of one `claas-eval`. Raises `CalledProcessError` where it did not finish."""
    command = [sys.executable, "-m", "claas_assets", f"preferences=[{PREFERENCE}]", *overrides]
    subprocess.run(command, check=True, stdout=sys.stderr)
    run_folder = next(value.removeprefix("output_dir=") for value in overrides if value.startswith("output_dir="))
    return RunFolder(Path(run_folder)).summary()[PREFERENCE]


def table(verdicts: dict[str, VerdictRecord]) -> str:
    """One row a case: compliance with its evidence, what is out of bounds, and the overall verdict."""
    rows = ["| case | held-out compliance | evidence | overall | fail | marginal |", "| --- " * 6 + "|"]
    for case, verdict in verdicts.items():
        compliance = verdict.criteria["compliance"]
        graded = {
            grade: ", ".join(name for name, criterion in verdict.criteria.items() if criterion.grade == grade)
            for grade in ("fail", "marginal")
        }
        evidence = (compliance.evidence or "none").replace("_", " ")
        rows.append(
            f"| {case} | {compliance.baseline:.2f} → {compliance.value:.2f} | {evidence} | {verdict.overall} "
            f"| {graded['fail'] or '–'} | {graded['marginal'] or '–'} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
