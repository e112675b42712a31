"""A small evaluation through the stages functions, and hooks that act at one point of its second step.

It runs in the test's own process, or in a child (`run_as_child`) that is killed at a hook or while the
fake deployment holds one of its requests. Nothing here waits for a time to pass.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment import client
from claas_assets.evaluation.deployment import reconnect as patience
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.transport import RetryBudget, Timeouts
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.progress import Reporter, silent
from claas_assets.evaluation.storage import atomic as files
from claas_assets.evaluation.storage import journal
from claas_assets.evaluation.storage.journal import INTENT_FILE, STEPS_FILE, FileJournal
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.training import feedback
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.stages import ensure_adapter, ensure_baseline, run_training

NUM_STEPS = 3
UPDATES = 4  # of a step
QUICK = RetryBudget(attempts=3, total_s=20.0, wait_initial_s=0.001, wait_max_s=0.002, jitter_s=0.0)


@dataclass(frozen=True)
class Job:
    """One evaluation. Time-outs are long unless a case is about them: the machine may be busy."""

    mode: str
    url: str
    folder: Path
    preferences: Path
    cache: Path
    feedback_s: float = 30.0
    generate_s: float = 30.0
    deployment_timeout_s: float = 0.0


def evaluate(job: Job, report: Reporter = silent, locate: Callable[[], str] | None = None) -> None:
    """What `adapter`, `baseline` and `training_steps` do, in a folder that may hold a part of it already."""
    config = load_config(
        {
            "mode": job.mode,
            "claas_url": job.url,
            "openclaw_url": None,
            "preferences": [job.folder.name],
            "preferences_dir": str(job.preferences),
            "metrics": ["logprob", "compliance"],
            "num_steps": NUM_STEPS,
            "deployment_timeout_s": job.deployment_timeout_s,
            "batch_size": 2,
            "rollout_temperature": 0.7,  # also on local, whose default is 0: it tells rollouts from probes
            "training": {"steps_per_batch": UPDATES},
            "output_dir": str(job.folder.parent),
        }
    )
    sequence = load_sequence(job.folder.name, job.preferences)
    timeouts = Timeouts(feedback_s=job.feedback_s, generate_s=job.generate_s)
    with (
        patch.object(client, "RetryBudget", lambda: QUICK),
        patch.object(client, "Timeouts", lambda: timeouts),
        patch.object(patience, "POLL_S", 0.01),
        patch.object(feedback, "_LEAST_S", 0.1),  # how long the counter is watched: the fake's calls are short
        # What a killed process has written is kept; only a power cut loses it, and nothing here makes one.
        patch.object(os, "fsync", lambda descriptor: None),
        patch.dict(os.environ, CLAAS_ASSETS_LOCKS=str(job.cache)),
    ):

        def context() -> TrainingContext:
            url = locate() if locate else job.url
            return TrainingContext.at(
                url, config=config, sequence=sequence, folder=job.folder, report=report, locate=locate
            )

        adapter = ensure_adapter(context(), resuming=True)
        baseline = ensure_baseline(context(), adapter, resuming=True)
        PreferenceFolder(job.folder).write_baseline(baseline)
        run_training(context(), adapter, baseline)


def run_as_child(job: Job, hook: Hook | None = None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background ignores it
    try:
        with hooked(hook) if hook else contextlib.nullcontext():
            evaluate(job)
    except KeyboardInterrupt:
        sys.exit(130)


# --- what a hook does -------------------------------------------------------------------------


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_self() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def disk_full() -> None:
    raise OSError(28, "No space left on device")


# --- where it does it -------------------------------------------------------------------------

Point = Literal[
    "line of the step before appended",
    "intent half written",
    "feedback not yet sent",
    "answer arrived",
    "answer half recorded",
    "half of the line written",
    "line written, not yet finished",
]


@dataclass(frozen=True)
class Hook:
    """`act` runs once, at `point` of step 1.

    `feedback_call`: which call of `/v1/feedback` the point is about. `after_lines`: how many lines this
    process has written by then (a resumed one begins at none).
    """

    point: Point
    act: Callable[[], None]
    feedback_call: int = 2
    after_lines: int = 1


class _Watch:
    """How far the evaluation of this process is, seen at its seams: files, feedback calls, lines."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.acted = False
        self.lines = 0
        self.begun = 0
        self.returned = 0

    def due(self, point: Point) -> bool:
        if self.acted or self.hook.point != point:
            return False
        call, lines = self.hook.feedback_call, self.hook.after_lines
        return {
            "line of the step before appended": self.lines == lines,
            "intent half written": self.lines == lines and self.begun == call - 1,
            "feedback not yet sent": self.begun == call - 1,
            "answer arrived": self.returned == call,
            "answer half recorded": self.returned == call,
            "half of the line written": self.lines == lines,
            "line written, not yet finished": self.lines == lines,
        }[point]

    def act_at(self, point: Point) -> None:
        if self.due(point):
            self.act()

    def act(self) -> None:
        self.acted = True
        self.hook.act()

    def open(self, path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = builtins.open(path, mode, *rest, **more)  # noqa: SIM115 - whoever opens it closes it
        return _HalfWriter(file, self) if self._breaks(Path(path).name, mode) else file

    def _breaks(self, name: str, mode: str) -> bool:
        if INTENT_FILE in name and "w" in mode:
            return self.due("intent half written") or self.due("answer half recorded")
        return name == STEPS_FILE and "a" in mode and self.due("half of the line written")


class _HalfWriter:
    """A file whose next write is made in two halves, with the hook between them."""

    def __init__(self, file: Any, watch: _Watch) -> None:
        self._file = file
        self._watch = watch

    def write(self, data: bytes) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._watch.act()
        self._file.write(data[half:])
        return len(data)

    def __enter__(self) -> _HalfWriter:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def hooked(hook: Hook) -> Iterator[_Watch]:
    """Run with the hook in place."""
    watch = _Watch(hook)
    append, send, sync_folder = FileJournal.append, ClaasClient.feedback, journal.sync_folder

    def watched_append(self: FileJournal, record: Any, *rest: Any) -> None:
        append(self, record, *rest)
        watch.lines += 1
        watch.act_at("line of the step before appended")

    async def watched_feedback(self: ClaasClient, *items: Any, **options: Any) -> Any:
        watch.act_at("feedback not yet sent")
        watch.begun += 1
        answer = await send(self, *items, **options)
        watch.returned += 1
        watch.act_at("answer arrived")
        return answer

    def watched_sync(folder: Path) -> None:
        sync_folder(folder)
        watch.act_at("line written, not yet finished")

    with (
        patch.object(FileJournal, "append", watched_append),
        patch.object(ClaasClient, "feedback", watched_feedback),
        patch.object(journal, "sync_folder", watched_sync),
        patch.object(journal, "open", watch.open, create=True),
        patch.object(files, "open", watch.open, create=True),
    ):
        yield watch
