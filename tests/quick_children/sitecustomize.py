"""Python imports a module of this name as it starts: for processes that tests start, with this folder in PYTHONPATH."""

from tests.quick_dagster import quick_dagster

_patched = quick_dagster()
_patched.__enter__()
