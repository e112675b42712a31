"""`claas-eval check`: each way in which a deployment looks well and is not is named, and nothing is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from claas_assets.evaluation.check.checkup import check_deployment
from claas_assets.evaluation.check.findings import Report
from claas_assets.evaluation.check.forecast import least_excluded, least_rise
from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment import gateway as proving
from claas_assets.evaluation.preferences.sequence import load_sequence
from tests.conftest import MakeFake, MakeGateway
from tests.fake_claas import FakeClaas, FakeGateway, status
from tests.fake_claas.model import Weights
from tests.fake_claas.recorder import Request

SHIPPED = Path(__file__).resolve().parents[3] / "preferences"
BASE = {"embedded": "fake/base-model"}


def check(fake: FakeClaas, between: FakeGateway | None = None, **values: Any) -> Report:
    given = {"mode": fake.mode, "claas_url": fake.url, "openclaw_url": between.url if between else None, **values}
    if fake.mode != "tinker" or "base_model" not in values:
        given.setdefault("base_model", BASE.get(fake.mode, "Qwen/Qwen3-8B"))
    token = between.token if between else None
    sequence = load_sequence("identity", SHIPPED)
    return asyncio.run(check_deployment(load_config(given), fake.url, token, [sequence]))


def said(report: Report, name: str) -> str:
    return " ".join(finding.line for finding in report.of(name))


@pytest.mark.parametrize("generation", ["new", "old"])
@pytest.mark.parametrize("mode", ["embedded", "local", "modal", "tinker"])
def test_of_a_deployment_that_is_well_nothing_blocks_and_nothing_is_left(
    fake: MakeFake, mode: str, generation: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path / "locks"))
    deployment = fake(mode, generation=generation)
    report = check(deployment)
    assert [finding.line for finding in report.blocking] == []
    assert deployment.deployment.adapters == {}
    assert deployment.deployment.sampler_path is None
    assert deployment.log.count("/v1/feedback") == 1
    assert ("newer" if generation == "new" else "older") in said(report, "generation")


TABLE = [
    ("trains nothing", "feedback changes this adapter alone", "training does nothing"),
    ("trains another", "feedback changes this adapter alone", "the wrong one was trained"),
    ("serves the base model", "update counter", "the served weights did not change"),
    ("cuts answers", "truncation", "answers end after 12 tokens in mid-sentence"),
    ("one sampler for all", "feedback changes this adapter alone", "one shared sampler"),
    ("sentinel logprobs", "logprobs", "-9999"),
    ("no logprobs", "logprobs", "none came"),
    ("counts wrongly", "update counter", "the counter moved by 2, and the answer says 4"),
]


@pytest.mark.parametrize(("broken", "name", "words"), TABLE)
def test_each_injected_fault_is_named(fake: MakeFake, broken: str, name: str, words: str) -> None:
    deployment = fake("embedded", broken=broken)
    report = check(deployment)
    assert words in said(report, name), [finding.line for finding in report.findings]
    assert name in {finding.name for finding in report.blocking}
    assert deployment.deployment.adapters == {}


def test_every_fault_of_the_fake_has_a_row() -> None:
    from typing import get_args

    from tests.fake_claas.deployment import Broken

    assert {row[0] for row in TABLE} == set(get_args(Broken))


def test_an_unknown_base_model_is_said_and_ends_it(fake: MakeFake) -> None:
    report = check(fake("local"), base_model="Qwen/Other")
    assert [finding.name for finding in report.blocking][:1] == ["base_model"]
    assert "not allowed" in said(report, "base_model")


def test_no_deployment_is_a_finding_too() -> None:
    gone = FakeClaas("local")
    gone.close()
    report = check(gone)
    assert [finding.name for finding in report.findings] == ["who answers"]
    assert report.blocking


@pytest.mark.parametrize(("honors", "blocked"), [(True, []), (False, ["gateway"])])
def test_a_gateway_is_asked_whom_it_serves(
    fake: MakeFake, gateway: MakeGateway, honors: bool, blocked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "NOBODY_S", 2.0)
    deployment = fake("local", unknown_model="404")
    between = gateway(deployment, deployment.deployment.init("openclaw/assistant-latest", None), honors_names=honors)
    report = check(deployment, between)
    assert [finding.name for finding in report.blocking] == blocked
    assert "adapters that are no evaluation's" in said(report, "other traffic")
    assert list(deployment.deployment.adapters) == ["openclaw/assistant-latest-init"]


def test_feedback_that_fails_ends_in_a_finding_and_leaves_nothing(fake: MakeFake) -> None:
    deployment = fake("local")
    deployment.faults.add("/v1/feedback", status(404))
    report = check(deployment)
    assert "who else uses this deployment" in said(report, "feedback")
    assert deployment.deployment.adapters == {}


def test_what_cannot_be_deleted_is_named(fake: MakeFake) -> None:
    deployment = fake("local")

    def deletes(request: Request) -> bool:
        return request.method == "DELETE"

    deployment.faults.add("/v1/lora", status(500), status(500), when=deletes)
    report = check(deployment)
    assert len(report.left) == 2
    assert "check-trained" in said(report, "left behind")


def test_tinkers_sampler_is_put_back_where_it_was(
    fake: MakeFake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path / "locks"))
    deployment = fake("tinker")
    deployment.deployment.sampler_path = "tinker://fake/people/sampler/7"
    deployment.deployment._checkpoints["tinker://fake/people/sampler/7"] = Weights(7)
    report = check(deployment)
    assert deployment.deployment.sampler_path == "tinker://fake/people/sampler/7"
    assert "is shared" in said(report, "sampler")


def test_what_n_can_show() -> None:
    assert least_rise(1) is None
    few, many = least_rise(10), least_rise(100)
    assert few is not None
    assert many is not None
    assert few / 10 > many / 100
    assert least_rise(20) == 6  # as the verdict has it: five of twenty is no rise
    assert least_excluded(0) is None
    small, large = least_excluded(10), least_excluded(100)
    assert small is not None
    assert large is not None
    assert small > large > 0
