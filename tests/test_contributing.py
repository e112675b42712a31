"""CONTRIBUTING's "Add a metric", followed to the letter on a copy of the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

USE_IT = """
from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.storage.records import EvalSnapshot, Message, Transcript, TranscriptMetadata, Unmeasured
from claas_assets.evaluation.metrics.scoring import gather_probes, score_snapshot
from claas_assets.evaluation.verdict.metric_table import metric_rows
from pathlib import Path

metrics = load_config({"metrics": ["logprob", "brevity"]}).metrics
preference = load_preference("identity", Path(PREFERENCES))
plan = ProbePlan(preference, "light", 0, collapse_due=False, seed=1, max_tokens=64)
(probe,) = [probe for probe in gather_probes(metrics, plan) if probe.metric == "brevity"]

def row(answer, error=None):
    said = [Message(role=role, content=text) for role, text in probe.messages]
    said += [Message(role="assistant", content=answer)] if answer else []
    transcript = Transcript(metric="brevity", messages=said,
                            metadata=TranscriptMetadata(key=probe.key, kind="generate", error=error))
    context = ScoringContext(preference, None)
    snapshot = score_snapshot([transcript], context, size="light", metrics=metrics)
    snapshot = EvalSnapshot.model_validate_json(snapshot.model_dump_json())
    assert snapshot.versions["brevity"] == 1
    (found,) = [r for r in metric_rows("r", "identity", snapshot, []) if r["quantity"] == "brevity.words"]
    return found["value"], found["reason"]

print(row("It is wide and blue."))
print(row(None, Unmeasured(kind="failed", reason="no answer came")))
print(row(None, Unmeasured(kind="unavailable", reason="this engine is mute")))
"""


def section(title: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(text: str, language: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(rf" *```{language}\n(.*?) *```", text, re.DOTALL)]


def test_the_steps_that_add_a_metric_do(tmp_path):
    shutil.copytree(ROOT / "claas_assets", tmp_path / "claas_assets", ignore=shutil.ignore_patterns("__pycache__"))
    metrics = tmp_path / "claas_assets" / "evaluation" / "metrics"
    file, registration = blocks(section("Add a metric"), "python")
    (metrics / "brevity.py").write_text(file, encoding="utf-8")
    registry = metrics / "__init__.py"
    registered, count = re.subn(
        r"^METRIC_NAMES = .*$", registration.strip(), registry.read_text(encoding="utf-8"), flags=re.M
    )
    assert count == 1
    registry.write_text(registered, encoding="utf-8")

    program = f"PREFERENCES = {str(ROOT / 'preferences')!r}\n{USE_IT}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.stdout.splitlines() == [
        "(5.0, None)",
        "(None, 'failed: no answer came')",
        "(None, 'unavailable: this engine is mute')",
    ], done.stderr
