"""report.html: one file, no network, no script, and the commands that write and show results."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from claas_assets.cli.main import run_subcommand
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.viewer.report import render_report, write_report
from tests.synthetic.example_copies import copy_run
from tests.viewer.conftest import CREATED, Page, keep_only


@pytest.fixture(scope="module")
def report(untouched_run) -> str:
    return render_report(untouched_run)


def test_the_report_needs_nothing_else(report):
    html, page = report, Page(report)
    for tag, attrs in page.elements:
        assert not {"src", "action", "style"} & set(attrs), (tag, attrs)
        assert (attrs.get("href") or "#").startswith("#"), (tag, attrs)
        assert tag not in ("script", "link", "img")
    assert "@import" not in html
    assert "url(http" not in html
    assert len(page.all("svg")) >= 5
    for words in ("identity", "Kuro", "over-application", "git_commit", "passes", "Every step", "Wilson"):
        assert words in page.text


def test_its_policy_allows_its_own_style_and_nothing_else(report):
    policy = next(m["content"] for m in Page(report).all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", report, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "@media print" in style


def test_a_long_run_stays_small(tmp_path):
    run = copy_run(tmp_path / "long", CREATED, steps=20)
    assert write_report(run).stat().st_size < 2_000_000


@pytest.mark.usefixtures("unpainted")
def test_a_broken_preference_is_in_the_report(example):
    (keep_only(example, "identity") / "steps.jsonl").write_text("{\n")
    text = Page(render_report(example)).text
    assert "steps.jsonl, line 1: not a step record" in text
    assert str(example.parent) not in text


def test_there_is_no_report_of_nothing(tmp_path, capsys):
    with pytest.raises(RunFolderError, match="no run is here"):
        write_report(tmp_path)
    assert run_subcommand("report", [str(tmp_path)]) == 2
    assert "Name a run folder" in capsys.readouterr().err


@pytest.mark.usefixtures("unpainted")
def test_the_command_writes_one_file_and_says_where(example, capsys):
    keep_only(example, "identity")
    assert run_subcommand("report", [str(example)]) == 0
    assert capsys.readouterr().out.strip() == str(example / "report.html")
    assert sorted(path.name for path in example.iterdir()) == ["identity", "report.html"]
    assert Page((example / "report.html").read_text(encoding="utf-8")).text == Page(render_report(example)).text


def test_view_serves_on_loopback_until_it_is_stopped(results):
    program = "import sys; from claas_assets.cli.view import run; sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(results / "example"), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/runs/example", line).group()
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert b"identity" in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        process.stdout.close()


def test_view_refuses_what_it_cannot_do(tmp_path, capsys):
    assert run_subcommand("view", [str(tmp_path / "nope")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run_subcommand("view", [str(tmp_path), "--port", str(taken.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err
    assert run_subcommand("view", [str(tmp_path), "--port", "99999"]) == 1
