"""`claas-eval check` and `claas-eval gateway-config` as a user calls them."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(("broken", "code"), [(None, 0), ("trains another", 1)])
def test_check_says_line_by_line_what_it_found_and_exits_1_where_something_blocks(claas_eval, fake, broken, code):
    deployment = fake("local", broken=broken)
    done = claas_eval(
        "check", "mode=local", f"claas_url={deployment.url}", "openclaw_url=null", "preferences=[identity]"
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "ok      who answers: CLaaS API 0.1.0" in done.stdout
    assert "what it will cost" in done.stdout
    assert ("the wrong one was trained" in done.stdout) is bool(broken)
    assert ("block an evaluation" in done.stderr) is bool(broken)
    assert deployment.deployment.adapters == {}


def test_check_of_a_wrong_key_is_exit_2_and_nothing_is_sent(claas_eval, fake):
    deployment = fake("local")
    done = claas_eval("check", "mode=local", f"claas_url={deployment.url}", "num_stesp=3")
    assert done.returncode == 2
    assert "num_stesp" in done.stderr
    assert deployment.log.requests == []


def test_check_through_a_gateway_without_a_token_is_exit_2(claas_eval, fake):
    done = claas_eval("check", "mode=local", f"claas_url={fake('local').url}")
    assert done.returncode == 2
    assert "OPENCLAW_GATEWAY_TOKEN" in done.stderr


def test_gateway_config_is_the_configuration_that_works_without_the_token(claas_eval):
    done = claas_eval(
        "gateway-config", "--claas-url", "http://claas.test:8080/v1/", "--lora-id", "openclaw/assistant-latest",
        OPENCLAW_GATEWAY_TOKEN="s3cret",
    )  # fmt: skip
    assert done.returncode == 0
    assert "s3cret" not in done.stdout
    config = json.loads(done.stdout)
    (provider,) = config["models"]["providers"].values()
    assert provider["baseUrl"] == "http://claas.test:8080/v1"
    assert config["agents"]["defaults"]["model"]["primary"] == "claas/openclaw-assistant-latest"
    assert config["agents"]["defaults"]["skipBootstrap"] is True
    assert config["tools"]["byProvider"] == {"claas": {"deny": ["*"]}}  # of the whole provider
    assert config["gateway"]["auth"] == {"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"}
