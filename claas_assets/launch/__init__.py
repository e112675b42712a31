"""A configuration → Dagster runs on the user's instance.

Public: `evaluation.run_harness` and `evaluation.evaluate` (all preferences), `evaluation.rescore` (from files
alone). `whole` has the order of one evaluation, `dagster_runs` runs one job in this process; `workers` starts
`worker`, the program that does the whole of it with a process a preference (`side_by_side`).

"""
