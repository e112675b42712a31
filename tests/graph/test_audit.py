"""An audit through the whole graph: the same files, verdict and pages, and no request that changes anything."""

from __future__ import annotations

from fastapi.testclient import TestClient

from claas_assets.viewer.app import build_app
from tests.fake_claas import FakeClaas

FEEDBACK = ("Your name is Kuro, always introduce yourself as Kuro",)


def test_an_audit_has_the_files_verdict_and_pages_of_an_evaluation(evaluation):
    made = evaluation(
        "local", mode="local", openclaw_url=None, lora_id="openclaw/assistant-latest-init", plots=True, num_steps=20
    )
    _in_use(made.fake)
    summary = made.run()
    verdict = summary["identity"]
    assert verdict.outcome is not None
    assert verdict.outcome.startswith("learned")
    assert verdict.steps_recorded == verdict.num_steps == 1
    assert verdict.notes[0].startswith("an audit")
    files = {path.name for path in (made.folder / "identity").iterdir()}
    assert {"metadata.json", "baseline.json", "steps.jsonl", "scores.json", "metrics.csv", "verdict.json"} <= files
    assert (made.folder / "report.html").exists()
    changing = {("POST", "/v1/feedback"), ("POST", "/v1/lora/init"), ("DELETE", "/v1/lora")}
    assert not changing & {(request.method, request.path) for request in made.fake.log.requests}
    with TestClient(build_app(made.root / "evals"), base_url="http://localhost") as pages:
        run = "/runs/the-run"
        for address in ("/", run, f"{run}/identity", f"{run}/identity/states/baseline", f"{run}/identity/states/0"):
            assert pages.get(address).status_code == 200, address
        assert "an audit: nothing was trained" in pages.get(f"{run}/identity").text


def _in_use(fake: FakeClaas) -> None:
    lora_id = fake.deployment.init("openclaw/assistant-latest", None)
    fake.deployment.adapters[lora_id].updates, fake.deployment.adapters[lora_id].feedback = 40, FEEDBACK
