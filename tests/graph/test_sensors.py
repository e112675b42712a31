"""Sensors and the schedule, looked at as the daemon does, against the fake deployment."""

import json
import signal
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from claas_assets.definitions import build_definitions
from claas_assets.defs.run_folder import RUN_TAG
from claas_assets.evaluation.deployment.watch import Watch, read_fingerprint
from claas_assets.evaluation.errors import ConfigError, IncompleteEvaluation
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.verdict.alerts import WEBHOOK_VARIABLE, call_webhook
from tests.fake_claas import edit, status

RUN_KEY_TAG = "dagster/run_key"
NAMES = ("new_deployment", "finish_evaluation", "bad_verdict", "failed_evaluation")


class Sensor:
    """A sensor with its cursor. `look()` is a tick: a `SensorResult`, a `SkipReason`, or what it executed."""

    def __init__(self, name, evaluation, **config):
        self.defs = build_definitions(evaluation.config(**config))
        self.definition = self.defs.resolve_sensor_def(name)
        self.cursor = None

    def look(self):
        with dg.DagsterInstance.get() as instance:
            context = dg.build_sensor_context(
                instance=instance, cursor=self.cursor, repository_def=self.defs.get_repository_def()
            )
            result = self.definition.evaluate_tick(context)
        self.cursor = result.cursor
        return result

    def run(self, request):
        """What the daemon does with a run request: skipped where its key was used before."""
        job = self.defs.resolve_job_def(request.job_name)
        with dg.DagsterInstance.get() as instance:
            if instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key}), limit=1):
                return None
            return job.execute_in_process(
                instance=instance, partition_key=request.partition_key, raise_on_error=False,
                run_config=request.run_config, tags={**request.tags, RUN_KEY_TAG: request.run_key},
            )  # fmt: skip


def answers(fake, **root):
    """The deployment's next answer to "who are you?"."""
    fake.faults.add("/", edit(lambda answer: {**answer, **root}))


def look_at(sensor, fake, version):
    answers(fake, version=version)
    return sensor.look()


@pytest.fixture
def watching(evaluation):
    made = evaluation(num_steps=1, preferences=["concise", "identity"])
    return Sensor("new_deployment", made), made.fake, made


def test_everything_is_off_until_it_is_switched_on(evaluation):
    repository = build_definitions(evaluation().config()).get_repository_def()
    found = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    assert {name: found[name] for name in NAMES} == dict.fromkeys(NAMES, dg.DefaultSensorStatus.STOPPED)
    assert [s.default_status for s in repository.schedule_defs] == [dg.DefaultScheduleStatus.STOPPED]


def test_a_deployment_is_evaluated_after_two_equal_readings_one_run_a_preference_into_one_folder(watching):
    sensor, fake, _ = watching
    assert not look_at(sensor, fake, "1").run_requests
    requests = look_at(sensor, fake, "1").run_requests
    assert [request.partition_key for request in requests] == ["concise", "identity", "no_emoji"]
    assert {request.job_name for request in requests} == {"evaluate"}
    assert len({request.tags[RUN_TAG] for request in requests}) == 1
    assert len({request.run_key for request in requests}) == 3
    assert all(request.run_config["resources"]["settings"]["config"]["values"]["claas_url"] == fake.url
               for request in requests)  # fmt: skip


def test_a_restart_of_the_same_one_is_not_a_new_one_and_going_back_is(watching):
    sensor, fake, _ = watching
    fired = []
    for version in ("1", "1", "1", "2", "1", "2", "2", "2", "1", "1"):
        requests = look_at(sensor, fake, version).run_requests or []
        fired.append(bool(requests))
        keys = [request.run_key for request in requests]
        if requests:
            assert not set(keys) & set(getattr(sensor, "keys", ()))  # Dagster remembers run keys for ever
            sensor.keys = [*getattr(sensor, "keys", ()), *keys]
    assert fired == [False, True, False, False, False, False, True, False, False, True]


def test_a_deployment_that_does_not_answer_is_a_skip_that_says_so_and_nothing_is_forgotten(watching):
    sensor, fake, _ = watching
    look_at(sensor, fake, "1")
    before = sensor.cursor
    fake.close()
    result = sensor.look()
    assert fake.url in result.skip_message
    assert "no CLaaS deployment" in result.skip_message
    assert sensor.cursor == before is not None


def test_without_an_address_there_is_nothing_to_watch_unless_the_environment_names_one(evaluation, monkeypatch):
    made = evaluation(claas_url=None)
    assert "claas_url is null" in Sensor("new_deployment", made).look().skip_message
    monkeypatch.setenv("CLAAS_WATCH_URL", made.fake.url)
    assert "seen once" in Sensor("new_deployment", made).look().skip_message


def test_the_interval_comes_from_the_environment(evaluation, monkeypatch):
    monkeypatch.setenv("CLAAS_WATCH_SECONDS", "300")
    assert Sensor("new_deployment", evaluation()).definition.minimum_interval_seconds == 300
    monkeypatch.setenv("CLAAS_WATCH_SECONDS", "soon")
    with pytest.raises(ConfigError, match="CLAAS_WATCH_SECONDS is 'soon'"):
        build_definitions(evaluation().config())


@pytest.mark.parametrize("kind", ["embedded", "local"])
def test_adapters_on_the_deployment_do_not_change_its_fingerprint_and_base_models_and_an_id_do(evaluation, kind):
    made = evaluation(kind, mode=kind, openclaw_url=None)
    config, fake = made.config(), made.fake
    before = read_fingerprint(config, fake.url)
    for lora_id in ("eval/identity-20261124-101500Z", "somebody/elses"):
        fake.deployment.init(lora_id, None)
    fake.faults.add("/v1/lora", status(404, "Not Found"))
    assert read_fingerprint(config, fake.url) != before  # somebody/elses: without the list it looks like a base model
    fake.deployment.delete(next(name for name in fake.deployment.adapters if name.startswith("somebody")))
    fake.faults.add("/v1/lora", status(404, "Not Found"))
    assert read_fingerprint(config, fake.url) == before  # ours are known by their prefix
    assert read_fingerprint(config, fake.url) == before
    answers(fake, deployment_id="blue")
    assert read_fingerprint(config, fake.url) != before
    fake.faults.add("/v1/models", edit(lambda answer: {"object": "list", "data": [{"id": "another/base"}]}))
    assert read_fingerprint(config, fake.url) != before


def test_tinkers_moving_sampler_does_not_change_its_fingerprint(evaluation):
    made = evaluation("tinker", mode="tinker", openclaw_url=None)
    before = read_fingerprint(made.config(), made.fake.url)
    made.fake.deployment.sampler_path = "tinker://fake/x/sampler/9"
    assert read_fingerprint(made.config(), made.fake.url) == before


def test_a_tick_that_is_repeated_asks_for_the_same_runs():
    watch, _ = Watch().look("abc", "20261124-101500Z")
    first, again = watch.look("abc", "20261124-101600Z"), watch.look("abc", "20261124-101700Z")
    assert first == again
    assert first[0].first_seen == "20261124-101500Z"


def test_a_cursor_that_cannot_be_read_says_what_to_do():
    with pytest.raises(ConfigError, match="reset"):
        Watch.parse("{}x")


def test_the_nightly_schedule_evaluates_every_preference_into_one_folder(evaluation):
    defs = build_definitions(evaluation().config())
    when = datetime(2026, 11, 24, 2, tzinfo=UTC)
    schedule = defs.resolve_schedule_def("nightly")
    with dg.DagsterInstance.get() as instance:
        data = schedule.evaluate_tick(
            dg.build_schedule_context(
                instance=instance, scheduled_execution_time=when, repository_def=defs.get_repository_def()
            )
        )
    assert [request.partition_key for request in data.run_requests] == ["concise", "identity", "no_emoji"]
    assert {request.tags[RUN_TAG] for request in data.run_requests} == {"20261124-020000Z-nightly"}


def test_after_all_have_ended_there_is_a_summary_also_where_one_failed_and_again_after_it_was_repeated(watching):
    sensor, fake, made = watching
    finisher = Sensor("finish_evaluation", made)
    look_at(sensor, fake, "1")
    requests = look_at(sensor, fake, "1").run_requests
    assert sensor.run(requests[0]).success
    assert not finisher.look().run_requests  # two are to come
    assert sensor.run(requests[1]).success
    fake.faults.add("/v1/lora/init", status(403))
    assert not sensor.run(requests[2]).success
    (report,) = finisher.look().run_requests
    assert finisher.run(report).success
    folder = made.folder.parent / requests[0].tags[RUN_TAG]
    summary = RunFolder(folder).summary()
    assert set(summary) == {"concise", "identity"}
    assert finisher.run(finisher.look().run_requests[0]) is None  # asked for once
    failed = requests[2]
    assert sensor.run(failed._replace(run_key="re-executed")).success
    assert finisher.run(finisher.look().run_requests[0]).success
    assert set(RunFolder(folder).summary()) == {"concise", "identity", "no_emoji"}


# --- telling ------------------------------------------------------------------------------------


@pytest.fixture
def webhook(monkeypatch):
    """What was posted; its `status` is what the next post is answered with."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"http://127.0.0.1:{server.server_port}/s3cr3t-path")
    yield posted, Handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bad_verdict_of_the_command_line_is_told_and_a_good_or_an_old_one_is_not(evaluation, webhook):
    made = evaluation(num_steps=0)
    sensor = Sensor("bad_verdict", made)
    made.run()  # inconclusive, and before it is switched on
    sensor.look()
    made.run()
    assert "1 new verdicts, 0 bad" in sensor.look().skip_message
    posted, _ = webhook
    assert posted == []
    strict = Sensor("bad_verdict", made, fail_on="inconclusive")
    strict.look()
    made.run()
    assert "1 bad" in strict.look().skip_message
    (message,) = posted
    assert (message["event"], message["preference"], message["run_id"]) == ("bad_verdict", "identity", "the-run")
    assert "claas-eval view" in message["what_to_do"]
    assert "0 new" in strict.look().skip_message


def test_a_failed_run_of_the_command_line_is_told_with_how_to_go_on(evaluation, webhook):
    made = evaluation(num_steps=0)
    sensor = Sensor("failed_evaluation", made)
    sensor.look()
    made.fake.faults.add("/v1/lora/init", status(403))
    with pytest.raises(IncompleteEvaluation):
        made.run()
    sensor.look()
    posted, _ = webhook
    assert [(m["event"], m["preference"], m["run_id"]) for m in posted] == [
        ("failed_evaluation", "identity", "the-run")
    ]
    assert "same output_dir" in posted[0]["what_to_do"]
    assert "/v1/lora/init answered 403" in posted[0]["error"]


def test_a_run_that_was_stopped_is_no_failed_one(evaluation, webhook, monkeypatch):
    made = evaluation(num_steps=0)
    sensor = Sensor("failed_evaluation", made)
    sensor.look()
    ctrl_c = lambda *_, **__: signal.raise_signal(signal.SIGINT)  # noqa: E731
    monkeypatch.setattr("claas_assets.defs.training.ensure_adapter", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    sensor.look()
    with dg.DagsterInstance.get() as instance:
        assert {run.status.value for run in instance.get_runs()} == {"CANCELED"}
    assert webhook[0] == []


def test_a_webhook_that_fails_is_said_without_its_address(webhook, monkeypatch, caplog):
    _, handler = webhook
    handler.status = 500
    problem = call_webhook({"event": "x"})
    assert "answered 500" in problem
    assert "127.0.0.1" in problem
    monkeypatch.setenv(WEBHOOK_VARIABLE, "http://127.0.0.1:9/s3cr3t-path")
    unreachable = call_webhook({"event": "x"})
    assert "not reached: ConnectError" in unreachable
    monkeypatch.setenv(WEBHOOK_VARIABLE, "s3cr3t-path")
    nonsense = call_webhook({"event": "x"})
    assert "not reached" in nonsense
    assert "s3cr3t" not in problem + unreachable + nonsense + caplog.text
    monkeypatch.delenv(WEBHOOK_VARIABLE)
    assert call_webhook({"event": "x"}) is None
