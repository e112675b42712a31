"""A whole evaluation, its preferences side by side: `python -m claas_assets.launch.worker`, started by `workers.py`.

It alone imports Dagster and opens its instance: whoever started it spends next to nothing. It is a program of its own
because forking (`side_by_side.py`) is safe only where no thread runs, and because a caller's script then needs no
`if __name__ == "__main__"` for it.

Reads one line of JSON, {"config": …, "job": …}; writes a line of JSON an event and an ended preference
(`side_by_side`), and last how all of it ended: {"failures": {name: reason}}, {"stopped": true}, or {"raised": our
error, pickled, in base64}. The end of its input stops it as Ctrl-C does: then whoever started it is gone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claas_assets.evaluation.progress import Event, Reporter
    from claas_assets.launch.dagster_runs import Launch


def main() -> None:
    """Nothing is imported before Ctrl-C is an end without a traceback."""
    # What libraries print must not stand between the lines of the protocol.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever started this was killed: nobody reads
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
        tell(_last_word(json.loads(sys.stdin.readline()), tell))
    except KeyboardInterrupt:
        tell({"stopped": True})


def _last_word(order: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    from claas_assets.evaluation.config import load_config
    from claas_assets.evaluation.errors import EvaluationError
    from claas_assets.launch.side_by_side import side_by_side
    from claas_assets.launch.whole import run_all

    def hear(event: Event) -> None:
        tell({"event": asdict(event)})

    def run(launch: Launch, job: str, listener: Reporter) -> dict[str, str]:
        failures = side_by_side(launch, job, tell)
        threading.Thread(target=_stop_without_input, name="input-is-closed", daemon=True).start()
        return failures

    try:
        return {"failures": run_all(load_config(order["config"]), order["job"], hear, run)}
    except EvaluationError as error:
        return {"raised": base64.b64encode(pickle.dumps(error)).decode("ascii")}


def _stop_without_input() -> None:
    """For what comes after the preferences, while nothing else looks at the input. No fork follows this thread."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
