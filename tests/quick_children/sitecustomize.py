"""Python imports a module of this name as it starts: for processes that tests start, with this folder in PYTHONPATH."""

import gc
import sys

from tests.quick_dagster import QuickWhenImported

gc.set_threshold(100_000, 50, 100)  # a fifth of importing Dagster is a search of the modules for garbage
QuickWhenImported().install()

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2  # of its looks at a backfill: 30 s each else, spent in waiting
