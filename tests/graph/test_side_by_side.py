"""Preferences side by side, one at a time where the deployment demands it, and runs that are stopped or killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from claas_assets.evaluation.errors import DeploymentUnreachable, IncompleteEvaluation
from claas_assets.launch.dagster_runs import PROCESS_TAG
from claas_assets.launch.evaluation import evaluate, run_harness
from claas_assets.launch.whole import run_all
from tests.fake_claas.faults import Gate, hold, status
from tests.graph.test_loop import FEEDBACK, MODAL, TINKER, lines

ONE = {"metrics": ["logprob"], "num_steps": 1}  # few requests: what is asked is not the matter here
TWO = {**ONE, "preferences": ["concise", "identity"], "parallel_preferences": 2}
THREE = {**ONE, "preferences": ["concise", "identity", "no_emoji"], "parallel_preferences": 3}
LOCAL = {**MODAL, "mode": "local"}


def test_from_a_running_loop_all_finish_side_by_side_in_one_folder_and_the_listener_hears_of_each(evaluation):
    made = evaluation("modal", **MODAL, **THREE, max_concurrency=8)
    made.fake.latency_s["/v1/chat/completions"] = 0.02
    heard = []

    async def notebook():
        return await run_harness(made.config(), heard.append)

    summary = asyncio.run(notebook())
    assert set(summary) == {"concise", "identity", "no_emoji"}
    assert all(len(lines(made, preference)) == 1 for preference in summary)
    assert all(entry.overall != "unfinished" for entry in summary.values())
    assert sorted((event.preference, event.step) for event in heard if event.stage == "step") == [
        ("concise", 0), ("identity", 0), ("no_emoji", 0),
    ]  # fmt: skip
    assert made.fake.log.peak_concurrency <= 8 + 3  # requests of all together; feedback beside them


def test_what_is_wrong_before_any_run_is_the_same_error_from_the_process_that_meets_it(evaluation):
    made = evaluation("modal", **MODAL, **TWO)
    made.settings["claas_url"] = "http://127.0.0.1:9"
    with pytest.raises(DeploymentUnreachable, match="no CLaaS deployment at"):
        made.run()
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs() == []


def test_whoever_starts_the_processes_imports_no_dagster():
    code = (
        "import sys, claas_assets.cli.terminal, claas_assets.launch.workers\n"
        "print(sorted({'dagster', 'scipy', 'matplotlib', 'httpx'} & set(sys.modules)))"
    )
    alone = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}  # without the quick storage, which needs it
    assert subprocess.run([sys.executable, "-c", code], env=alone, capture_output=True, text=True).stdout == "[]\n"


def test_no_thread_of_what_comes_before_the_forks_is_left_when_they_begin(evaluation):
    made, before = evaluation("modal", **MODAL, **TWO), set(threading.enumerate())
    seen = []

    def instead_of_forking(*_) -> dict[str, str]:
        seen.extend(set(threading.enumerate()) - before)
        return dict.fromkeys(TWO["preferences"], "not evaluated")

    run_all(made.config(), "evaluate", lambda event: None, instead_of_forking)
    assert made.fake.log.count("/v1/health") == 1
    assert seen == []


def test_one_that_fails_is_named_and_the_others_give_feedback_one_at_a_time_where_two_would_not_fit(evaluation):
    made = evaluation("local", **LOCAL, **THREE)
    made.fake.latency_s[FEEDBACK] = 0.3
    made.fake.faults.add(
        "/v1/lora/init", status(403, "not allowed"), when=lambda request: "concise" in str(request.body)
    )
    with pytest.raises(IncompleteEvaluation, match=r"concise: .*not allowed"):
        made.run()
    assert [len(lines(made, preference)) for preference in ("identity", "no_emoji")] == [1, 1]
    assert made.fake.log.count(FEEDBACK) == 2
    assert made.fake.log.peak_by_path[FEEDBACK] == 1


def test_on_one_sampler_one_preference_follows_the_other_from_init_to_the_last_step(evaluation):
    made = evaluation("tinker", **TINKER, **{**TWO, "num_steps": 2})
    made.run()
    of = [
        next((name for name in ("concise", "identity") if f"{name}-the-run" in str(request.body)), None)
        for request in made.fake.log.requests
        if request.path in ("/v1/lora/init", "/v1/score", FEEDBACK)
    ]
    known = [name for name in of if name is not None]
    changes = sum(one != other for one, other in itertools.pairwise(known))
    assert set(known) == {"concise", "identity"}
    assert changes == 1


# --- stopped and killed -------------------------------------------------------------------------


def command(made, **settings) -> subprocess.Popen[str]:
    """`claas-eval` for what `made` would evaluate."""
    values = {**made.settings, **settings}
    overrides = [f"{key}={json.dumps(value)}".replace('"', "") for key, value in values.items() if key != "training"]
    return subprocess.Popen(
        [sys.executable, "-m", "claas_assets", *overrides, "training.steps_per_batch=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def held_at_feedback(made, nth: int) -> Gate:
    gate = Gate()
    made.fake.faults.add(FEEDBACK, hold(gate, "before"), nth=nth)
    return gate


def dagster_run(statuses) -> dg.DagsterRun:
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs(filters=dg.RunsFilter(job_name="evaluate", statuses=statuses))
        return run


@pytest.mark.parametrize("parallel", [1, 2])
def test_terminate_in_the_ui_stops_a_run_of_the_command_line(evaluation, parallel):
    two = {**TWO, "preferences": ["identity", "concise"][:parallel], "parallel_preferences": parallel}
    made = evaluation(**two | {"num_steps": 2})
    gate = held_at_feedback(made, nth=2)
    running = command(made)
    assert gate.reached.wait(60)
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            instance.report_run_canceling(run)
    output, _ = running.communicate(timeout=60)
    gate.open()
    assert running.returncode == 130, output
    with dg.DagsterInstance.get() as instance:
        assert {run.status.value for run in instance.get_runs()} <= {"CANCELED", "SUCCESS", "FAILURE"}
    made.run(parallel_preferences=1)
    assert list(made.fake.updates.values()) == [4] * parallel, made.fake.updates


def test_a_run_at_work_keeps_its_folder_and_killed_it_is_buried_by_the_next_command_and_its_pool_slot_freed(evaluation):
    made = evaluation(**ONE | {"num_steps": 2})
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("claas_embedded", 2)
    gate = held_at_feedback(made, nth=2)
    running = command(made)
    assert gate.reached.wait(60)
    with pytest.raises(IncompleteEvaluation, match=rf"another evaluation is writing here \(process {running.pid}\)"):
        made.run()
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=30)
    gate.open()
    killed = dagster_run([dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("claas_embedded", 1)
        slots = instance.event_log_storage.get_concurrency_info("claas_embedded")
        assert (slots.slot_count, slots.active_slot_count) == (1, 1)
    heard = []
    evaluate(made.config(), heard.append)
    assert any(killed.run_id in event.message for event in heard)
    with dg.DagsterInstance.get() as instance:
        assert instance.get_run_by_id(killed.run_id).status.value == "FAILURE"
    assert [step["step"] for step in lines(made)] == [0, 1]
    assert made.fake.log.count("/v1/lora/init") == 1
    assert made.fake.updates == {"eval/identity-the-run": 4}


def test_runs_at_work_and_runs_of_other_hosts_are_not_buried(evaluation):
    made = evaluation(num_steps=1)
    from claas_assets.launch.dagster_runs import bury_dead_runs, process_tag

    with dg.DagsterInstance.get() as instance:
        job = dg.job(name="pretend")(lambda: None)
        for process in (process_tag(), "elsewhere/1/2", "nonsense"):
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process})
        assert bury_dead_runs(instance) == []
    assert made.fake.log.requests == []


def test_workers_end_with_whoever_started_them(evaluation):
    made = evaluation("modal", **MODAL, **TWO)
    gate = held_at_feedback(made, nth=1)
    running = command(made)
    assert gate.reached.wait(60)
    (server,) = children_of(running.pid)
    workers = children_of(server)
    assert len(workers) == 2
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=30)
    gate.open()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in (server, *workers)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert not any(_alive(pid) for pid in (server, *workers))


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
