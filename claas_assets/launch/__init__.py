"""A configuration → Dagster runs on the user's instance.

Public: `evaluation.run_harness` and `evaluation.evaluate` (all preferences), `evaluation.rescore` (from files
alone). `dagster_runs` runs one job in this process; `workers` starts `worker`, a program with a process a preference.
"""
