"""The pictures of the viewer in docs/images, made from `data/example`: `python -m docs.screenshots`.

The list shows copies of the run of version 0.1.0, cut at different places: their states are made up, their numbers
are not. The example is compared with what a learning rate of 0 gives: the same run, with the baseline's own answers
after its last step.
Needs the `dev` extra and a Chromium (Debian: `apt-get install chromium`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.probes import ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.evaluation.storage.records import ScoresRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.verdict.ruling import judge
from claas_assets.viewer.app import build_app
from tests.browser import browser, served
from tests.synthetic.example_copies import copy_run

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"


UNTRAINED = "20261126-100000Z"


class Shot(NamedTuple):
    """`act` names a selector that is clicked, and shown from its section's heading down."""

    name: str
    path: str
    width: int
    height: int
    dark: bool = False
    act: str | None = None


SHOTS = (
    Shot("list", "/", 1280, 560),
    Shot("list-dark", "/", 1280, 560, dark=True),
    Shot("run", "/runs/example", 1280, 1500),
    Shot("run-dark", "/runs/example", 1280, 1500, dark=True),
    Shot("run-narrow", "/runs/example", 390, 1100),
    Shot("preference", "/runs/example/concise?prompt=compliance/heldout_prompts/3", 1280, 1100),
    Shot("preference-dark", "/runs/example/identity", 1280, 1100, dark=True),
    Shot("preference-narrow", "/runs/example/identity", 390, 1100),
    Shot("compare", f"/compare?run={UNTRAINED}&run=example", 1280, 1500),
    Shot("step", "/runs/example/identity", 1280, 1100, act='a[data-open$="/states/2?part=1"]'),
)


def make_results(results_dir: Path) -> None:
    """The example, and copies of it that were stopped, are broken, and run: by this process, until it ends."""
    shutil.copytree(ROOT / "data" / "example", results_dir / "example")
    begun = datetime(2026, 11, 25, 9, tzinfo=UTC)
    shutil.copytree(ROOT / "data" / "example", results_dir / UNTRAINED)
    make_untrained(results_dir / UNTRAINED)
    for hours, name in enumerate(("stopped", "broken", "running")):
        moment = begun + timedelta(hours=3 * hours)
        run = copy_run(results_dir / moment.strftime("%Y%m%d-%H%M%SZ"), moment)
        folder = run / "no_emoji"
        if name == "broken":
            (folder / "verdict.json").write_text('{"preference": "no_emo', encoding="utf-8")
            continue
        lines = (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "steps.jsonl").write_text("".join(lines[: 2 if name == "running" else 4]), encoding="utf-8")
        (folder / "verdict.json").unlink()
        if name == "running":
            (folder / ".lock.holder").write_text(f"process {os.getpid()}", encoding="utf-8")


def make_untrained(run: Path) -> None:
    """Learning rate 0 leaves the weights alone: every state then answers the same requests as the baseline did."""
    for folder in sorted(path.parent for path in run.glob("*/metadata.json")):
        training = PreferenceFolder(folder).training()
        adapter, baseline = training.adapter, training.baseline
        adapter.config["training"]["learning_rate"] = 0.0
        adapter = adapter.model_copy(update={"run_id": run.name})
        preference = Preference.model_validate(adapter.preference_text)
        asked = [t for t in baseline.rollouts if not t.key.startswith(("compliance/ceiling/", "compliance/noise/"))]
        state = score_snapshot(asked, ScoringContext(preference, baseline), size="full", metrics=adapter.metrics)
        steps = [step.model_copy(update={"eval": state}) for step in training.steps]
        thresholds = Thresholds.recorded(adapter.config["thresholds"])
        judged = judge(ScoresRecord.of(adapter, baseline, steps), thresholds)
        (folder / "steps.jsonl").unlink()
        for step in steps:
            FileJournal(folder).append(step)
        PreferenceFolder(folder).write_adapter(adapter)
        PreferenceFolder(folder).write_verdict(judged)


def take(page: Any, shot: Shot, address: str, folder: Path) -> Path:
    page.goto(address + shot.path)
    page.wait_for_load_state("networkidle")
    if shot.act is not None:
        page.locator(shot.act).click()
        page.locator("tr.detail").wait_for()
        page.locator("h2").last.scroll_into_view_if_needed()
        page.locator("h2").last.evaluate("heading => heading.scrollIntoView()")
    path = folder / f"{shot.name}.png"
    path.write_bytes(_small(page.screenshot()))
    return path


def _small(png: bytes) -> bytes:
    """The same picture with 255 colors: a third of the size."""
    from PIL import Image

    buffer = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> int:
    """Write the pictures; returns the exit code."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, contextlib.chdir(folder), browser() as chromium:
        results_dir = Path("data/evals")  # relative: the page says it
        make_results(results_dir)
        with served(build_app(results_dir)) as address:
            for shot in SHOTS:
                scheme = "dark" if shot.dark else "light"
                page = chromium.new_page(viewport={"width": shot.width, "height": shot.height}, color_scheme=scheme)
                print(take(page, shot, address, IMAGES).relative_to(ROOT))
                page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
