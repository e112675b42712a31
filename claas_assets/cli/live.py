"""An evaluation while it runs: a line a preference on a terminal, and a lasting line for what is finished.

Where the output is no terminal, a line a minute says how far each preference is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event
from claas_assets.evaluation.terminal_text import one_line

_FULL_SNAPSHOT = 3.0
"""A full snapshot takes about as long as three steps: the baseline is one, and the last step ends with one."""
_LASTING = {"note", "deployment", "adapter", "baseline", "step"}
_QUIET_S = 60.0
"""Without a terminal, a preference is silent for at most about this long."""
_OF_NO_STAGE = {"deployment", "note"}


@dataclass
class _Preference:
    """How far one preference is."""

    done: float = 0.0
    """Finished work, in steps."""
    begun: float = 0.0
    """Work of the stage that goes on, in steps: what its answered requests are of it."""
    steps: int | None = None
    """Feedback steps of a sequence; null: the configuration's."""
    shown: TaskID | None = None
    said_at: float = 0.0


class TerminalProgress:
    """Shows events as they come. A context manager: the live lines go when it ends."""

    def __init__(self, config: EvalConfig, console: Console | None = None) -> None:
        self.config = config
        self.console = console = console or Console()
        self.began: float | None = None
        self.preferences = {name: _Preference() for name in config.preferences}
        self.live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[count]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.all = self.live.add_task("starting", total=None, count="")

    def __enter__(self) -> TerminalProgress:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def __call__(self, event: Event) -> None:
        if event.stage in _LASTING:
            self.console.print(_line(event), highlight=False)
        if event.stage == "adapter" and self.began is None:
            self.began = time.monotonic()
        if event.preference in self.preferences and event.stage not in _OF_NO_STAGE:
            self._move(event, self.preferences[event.preference])
        self._show_all(event)

    def _move(self, event: Event, preference: _Preference) -> None:
        preference.steps = event.num_steps or preference.steps
        steps = self._steps(preference)
        full = event.step is None or event.step == steps - 1
        if event.stage in ("baseline", "step"):
            at_end = event.step == steps - 1 or (event.step is None and steps == 0)
            preference.done += (0.0 if event.step is None else 1.0) + (_FULL_SNAPSHOT if full else 0.0)
            preference.begun = 0.0
            self._end(preference) if at_end else self._show(event, preference, "baseline measured")
            return
        if event.done is not None and event.total:
            preference.begun = (_FULL_SNAPSHOT if full else 0.5) * event.done / event.total
        self._show(event, preference, event.message)

    def _show(self, event: Event, preference: _Preference, doing: str) -> None:
        where = "baseline" if event.step is None else f"step {event.step + 1}/{self._steps(preference)}"
        count = f"{event.done}/{event.total}" if event.total else ""
        if not self.console.is_terminal:
            self._say_now_and_then(event, preference, where, count)
            return
        if preference.shown is None:
            preference.shown = self.live.add_task("", total=None, count="")
        name = f"{event.preference:.14}"
        doing = "" if event.stage in ("adapter", "baseline", "step") else f" · {doing}"
        self.live.update(preference.shown, description=one_line(f"{name} {where}{doing}"), count=count)
        task = next(task for task in self.live.tasks if task.id == preference.shown)
        # Assigned, since `update` takes None for "as it was": a stage without a count would keep the last one's.
        task.total, task.completed, task.finished_time = event.total, float(event.done or 0), None

    def _end(self, preference: _Preference) -> None:
        if preference.shown is not None:
            self.live.remove_task(preference.shown)
            preference.shown = None

    def _say_now_and_then(self, event: Event, preference: _Preference, where: str, count: str) -> None:
        now = time.monotonic()
        if preference.said_at == 0.0:
            preference.said_at = now
        if count and now - preference.said_at >= _QUIET_S:
            preference.said_at = now
            text = Text.assemble((one_line(event.preference), "bold"), f"  {where}: {count} requests")
            self.console.print(text, highlight=False, soft_wrap=True)

    def _show_all(self, event: Event) -> None:
        count = len(self.preferences)
        description = "starting" if self.began is None else f"{count} preference{'s' if count > 1 else ''}"
        self.live.update(self.all, description=description, count=self._times())
        if self.began is not None:
            total = self._work()
            self.live.update(self.all, total=total, completed=min(total, self._done()))

    def _times(self) -> str:
        if self.began is None:
            return ""
        seconds = int(time.monotonic() - self.began)
        return "  ".join(part for part in (f"{seconds // 60}:{seconds % 60:02d}", self.time_left()) if part)

    def time_left(self) -> str:
        """From the pace so far; nothing before a step's worth of work is done, and nothing at the end."""
        done, total = self._done(), self._work()
        if self.began is None or done < 1.0 or done >= total:
            return ""
        seconds = (total - done) * (time.monotonic() - self.began) / done
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _done(self) -> float:
        return sum(preference.done + preference.begun for preference in self.preferences.values())

    def _steps(self, preference: _Preference) -> int:
        return self.config.num_steps if preference.steps is None else preference.steps

    def _work(self) -> float:
        """All that is to be done, in steps."""
        steps = [self._steps(preference) for preference in self.preferences.values()]
        return sum(_FULL_SNAPSHOT + (count + _FULL_SNAPSHOT if count else 0) for count in steps)


def _line(event: Event) -> Text:
    parts = [(one_line(event.preference), "bold"), (one_line(event.message), "")]
    numbers = {name.replace("_", " "): value for name, value in event.numbers.items() if value is not None}
    parts += [(f"{name} {value:.3g}", "") for name, value in numbers.items()]
    return Text("  ").join(Text(text, style) for text, style in parts if text)
