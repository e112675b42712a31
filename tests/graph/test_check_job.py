"""The job `check_deployment`: the lines of `claas-eval check` in a run's log, and red where something blocks."""

from __future__ import annotations

import dagster as dg
import pytest

from claas_assets.definitions import build_definitions


@pytest.mark.parametrize(("broken", "well"), [(None, True), ("trains nothing", False)])
def test_the_job_says_what_it_found_and_fails_where_something_blocks(evaluation, broken, well):
    made = evaluation(base_model="fake/base-model", fake_settings={"broken": broken})
    job = build_definitions(made.config()).resolve_job_def("check_deployment")
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert result.success is well
        messages = " ".join(
            record.event_log_entry.user_message or "" for record in instance.get_records_for_run(result.run_id).records
        )
    assert "what it will cost" in messages
    assert ("training does nothing" in messages) is not well
    assert made.fake.deployment.adapters == {}
