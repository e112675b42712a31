"""Python imports a module of this name as it starts: for processes that tests start, with this folder in PYTHONPATH."""

import sys

from tests.quick_dagster import quick_dagster

_patched = quick_dagster()
_patched.__enter__()

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2  # of its looks at a backfill: 30 s each else, spent in waiting
