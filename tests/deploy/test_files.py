"""The files of deploy/: what can be known of them without Docker and without a cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from tests.deploy.conftest import DEPLOY, ROOT

VARIABLES = {
    "DAGSTER_PG_HOST": "postgres", "DAGSTER_PG_PORT": "5432", "DAGSTER_PG_USERNAME": "dagster",
    "DAGSTER_PG_PASSWORD": "secret", "DAGSTER_PG_DB": "dagster", "CLAAS_COMPUTE_LOGS": "/data/compute_logs",
}  # fmt: skip


def loaded(path):
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def test_dagster_accepts_the_instance_file(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    settings = InstanceRef.from_dir(str(DEPLOY), config_filename="dagster.yaml").settings
    assert settings["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    assert settings["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_the_chart_has_the_limits_of_the_instance_file_and_the_pinned_version():
    instance, chart = loaded("dagster.yaml"), loaded("kubernetes/values.yaml")
    assert snake(chart["concurrency"]) == {"enabled": True, **instance["concurrency"]}
    daemon = chart["dagsterDaemon"]
    assert snake(daemon["runRetries"]) == instance["run_retries"]
    assert snake(daemon["runMonitoring"]) == {**instance["run_monitoring"], "max_resume_run_attempts": 0}
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert snake(queue) == instance["run_coordinator"]["config"]
    assert (snake(daemon["sensors"]), snake(daemon["schedules"])) == (instance["sensors"], instance["schedules"])
    pinned = re.search(r"^dagster==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert f"--version {pinned[1]} " in (DEPLOY / "kubernetes" / "values.yaml").read_text()


def snake(value):
    """Keys as dagster.yaml spells them; `applyLimitPerUniqueValue` is spelled so in both."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {"applyLimitPerUniqueValue"}
    return {k if k in kept else re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", k): snake(v) for k, v in value.items()}


def test_volumes_that_are_mounted_exist_in_the_chart_and_the_claim():
    (deployment,) = loaded("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"]
    volumes = {volume["name"]: volume for volume in deployment["volumes"]}
    assert {mount["name"] for mount in deployment["volumeMounts"]} == set(volumes)
    claim = loaded("kubernetes/storage.yaml")
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def instructions(keyword: str) -> list[list[str]]:
    """The words of each such instruction of the Dockerfile."""
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{keyword} ")]


def variables(settings) -> set[str]:
    """What an instance file takes from the environment: `{env: NAME}`, wherever in it."""
    if isinstance(settings, list):
        return set().union(*map(variables, settings))
    if not isinstance(settings, dict):
        return set()
    return {settings["env"]} if set(settings) == {"env"} else set().union(*map(variables, settings.values()))


def test_what_the_image_copies_and_installs_exists():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for words in instructions("COPY") for source in words[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignored, path
    arguments = dict(word.split("=", 1) for words in instructions("ARG") for word in words)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(arguments["EXTRAS"].split(",")) <= set(known)


def test_the_variables_of_the_instance_file_are_set_in_compose_and_image():
    named = variables(loaded("dagster.yaml"))
    assert "DAGSTER_PG_HOST" in named
    services = loaded("docker/compose.yaml")["services"]
    image = {word.partition("=")[0] for words in instructions("ENV") for word in words}
    for name in ("limits", "code", "webserver", "daemon"):
        assert named <= set(services[name]["environment"]) | image, name
    assert all(port.startswith("127.0.0.1:") for port in services["webserver"]["ports"])
    assert "ports" not in services["postgres"]


def test_the_configuration_of_the_image_is_one():
    from claas_assets.evaluation.config import load_config

    config = load_config(loaded("docker/eval.yaml"))
    assert str(config.results_dir) == "/data/evals"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose here")
def test_compose_reads_its_file(monkeypatch):
    ask = ["docker-compose", "-f", str(DEPLOY / "docker" / "compose.yaml"), "config", "-q"]
    monkeypatch.delenv("DAGSTER_PG_PASSWORD", raising=False)
    without = subprocess.run(ask, capture_output=True, text=True)
    assert without.returncode != 0
    assert "set it to a password of your own" in without.stderr
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "secret")
    done = subprocess.run(ask, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tinker_has_its_limit_before_the_daemon_starts():
    services = loaded("docker/compose.yaml")["services"]
    assert services["limits"]["command"][-3:] == ["set", "claas_tinker", "1"]
    assert services["daemon"]["depends_on"]["limits"] == {"condition": "service_completed_successfully"}
