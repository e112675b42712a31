"""One preference in a process of its own: `python -m claas_assets.worker`, started by `workers.py`.

Reads a line of JSON, {"config": …, "job": …, "preference": …}; writes one line of JSON an event, and at the end
{"reason": null or why it failed} or {"stopped": true}. The end of its input stops it as Ctrl-C does: then
whoever started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from typing import IO

from claas_assets.dagster_runs import run_job
from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.progress import Event, listening


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
    # What libraries print must not stand between the lines of the protocol.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        order = json.loads(sys.stdin.readline())
        threading.Thread(target=_stop_when_alone, name="parent-is-gone", daemon=True).start()
        try:
            _say(answers, {"reason": _work(order, answers)})
        except KeyboardInterrupt:
            _say(answers, {"stopped": True})


def _work(order: dict[str, object], answers: IO[str]) -> str | None:
    import dagster as dg

    config = load_config(order["config"])  # type: ignore[arg-type]
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            _say(answers, {"event": asdict(event)})

    with dg.DagsterInstance.get() as instance, listening(tell):
        return run_job(config, instance, str(order["job"]), str(order["preference"]))


def _say(answers: IO[str], value: dict[str, object]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _stop_when_alone() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
