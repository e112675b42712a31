"""Runs hostile code: a process that can compute and answer, and nothing else.

Public: `runner.run_function`, which runs a function and brings its values back; `runner.same_value`, which compares
them out here; `runner.SandboxResult`, what is known of a run. `runner` says what it does not protect against.
"""
