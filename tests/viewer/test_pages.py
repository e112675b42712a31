"""The pages: what they tell, from which files, and what they refuse."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from claas_assets.evaluation.figures import FIGURES
from claas_assets.evaluation.metrics import get_metric
from claas_assets.viewer.app import build_app, mount_eval
from claas_assets.viewer.svg import TITLES
from claas_assets.viewer.word_difference import word_difference
from tests.synthetic.example_copies import copy_run
from tests.viewer.conftest import CREATED, Page, change, change_step

HELD_OUT = "compliance/heldout_prompts/0"


def first_answer(snapshot, key=HELD_OUT):
    transcript = next(t for t in snapshot["rollouts"] if t["metadata"]["key"] == key)
    return transcript["messages"][-1]["content"]


def test_the_list_tells_verdict_change_and_interval(see):
    text = see("/").text
    for words in ("example", "2026-11-24 10:15", "SmolLM2-135M-Instruct", "identity", "learned, harm not excluded",
                  "+0.25 [+0.05, +0.41]", "−0.10 [−0.35, +0.17]", "complete"):  # fmt: skip
        assert words in text


def test_filter_sort_and_pages_take_all_runs(results, look):
    for day in range(1, 6):
        run = copy_run(results / f"run-{day}", CREATED + timedelta(days=day))
        change(run / "concise" / "verdict.json", lambda v, day=day: v["criteria"]["obeyed"].update(change=day / 10))
    change(results / "run-4" / "concise" / "verdict.json", lambda v: v.update(alerts=["step 3: loops: 0.5"]))

    def shown(query):
        return [href.split("/")[2] for href in look(query).links if re.fullmatch(r"/runs/[^/]+", href)]

    assert shown("/?per_page=2") == ["run-5", "run-4"]
    assert shown("/?per_page=2&page=3") == ["run-1", "example"]
    assert shown("/?sort=created&per_page=2") == ["example", "run-1"]
    assert shown("/?q=run-2") == ["run-2"]
    assert shown("/?q=alert") == ["run-4"]
    assert "None of 6 runs matches" in look("/?q=nothing-like-it").text
    assert shown("/?page=999&per_page=5") == ["example"]
    only = look("/?q=no_emoji&per_page=1")
    assert not [href for href in only.links if href.endswith("/identity")]


def test_the_list_tells_the_seed_and_what_a_sweep_swept(results, look):
    for job, (rate, seed) in enumerate([(1e-4, 1), (1e-4, 2), (3e-4, 1)]):
        run = copy_run(results / f"night-{job}", CREATED + timedelta(days=job + 1))
        for metadata in run.glob("*/metadata.json"):
            change(metadata, lambda m, r=rate, s=seed: m["config"].update(sweep_id="night", seed=s))
            change(metadata, lambda m, r=rate: m["config"]["training"].update(learning_rate=r))
    text = look("/").text
    assert "seed=1 learning_rate=0.0003" in text
    assert text.count("learning_rate=0.0001") == 2
    assert "seed=42" in text  # the example, which is of no sweep
    assert "alpha=" not in text
    found = look("/?q=learning_rate%3D0.0003&per_page=1")
    assert "night-2" in found.text
    assert "night-0" not in found.text


def test_answers_are_filtered_over_all_states(look, reader):
    failing = look("/runs/example/identity/answers?show=fails&page=99").text
    assert "After 6 feedback steps" in failing
    assert "passes" not in failing
    assert reader.get("/runs/example/identity/answers?show=nonsense").status_code == 404
    assert "reached the token limit" in look("/runs/example/identity/answers?show=truncated").text.lower()
    one = look("/runs/example/identity/answers?key=compliance%2Fprobe_prompts%2F1").text
    assert one.count("compliance/probe_prompts/1") == 7


def test_a_transcript_whose_key_names_no_set_is_shown(example, client):
    change(example / "identity" / "baseline.json", lambda b: b["rollouts"][0]["metadata"].update(key="compliance"))
    assert client.get("/runs/example/identity/states/baseline").status_code == 200


@pytest.mark.parametrize("told", [7, {"a": 1}, [1, {"grad_norm": 0.5}], "x"])
def test_an_engine_that_tells_of_its_updates_in_another_form_is_shown(example, client, told):
    change_step(example / "identity", 1, lambda step: step.update(feedback_calls=[{"per_step_metrics": told}]))
    assert client.get("/runs/example/identity/states/1").status_code == 200


def test_a_run_has_no_figures_of_metrics_that_it_did_not_ask(example, client):
    for metadata in example.glob("*/metadata.json"):
        change(metadata, lambda m: m["config"].update(metrics=["logprob"]))
    page = client.get("/runs/example").text
    assert re.findall(r"figures/(\w+)\.svg\"", page)[::2] == ["margins", "sdpo"]


def test_the_list_part_is_the_table_alone(reader):
    part = reader.get("/?part=1").text
    assert "<table" in part
    assert "<html" not in part


@pytest.mark.parametrize(
    "path", ["/?page=0", "/?per_page=0", "/?per_page=201", "/?page=x", f"/?q={'x' * 501}", "/api/runs?page=0"]
)
def test_a_query_that_is_out_of_bounds_is_refused(reader, path):
    assert reader.get(path).status_code == 422


def test_the_run_page_tells_everything_of_the_verdict(see, untouched_run):
    page = see("/runs/example")
    verdict = json.loads((untouched_run / "identity" / "verdict.json").read_text())
    assert verdict["sentence"] in page.text
    for note in verdict["notes"]:
        assert note in page.text
    for words in ("obeys the preference", "over-application", "+0.25 [+0.05, +0.41]", "within noise",
                  "learning_rate", "git_commit", "eval/identity-example", "does not decide"):  # fmt: skip
        assert words in page.text
    assert {place["data-figure"].rpartition("/")[2] for place in page.all("figure")} == {f"{n}.svg" for n in FIGURES}


def test_every_figure_has_a_question():
    assert set(TITLES) == set(FIGURES)


def test_what_was_not_measured_is_told_with_its_reason(example, look):
    text = look("/runs/example").text  # the same reason is said once
    assert text.count("unavailable: this is the baseline, which has nothing to be compared with") == 1
    assert "collapse.length_ratio concise, identity, no_emoji baseline" in text
    table = example / "identity" / "metrics.csv"
    columns = table.read_text().splitlines()[0].split(",")
    row = dict.fromkeys(columns, "") | {
        "quantity": "collapse.mean_entropy", "step": "3", "reason": "unavailable: no token logprobs", "n": "",
    }  # fmt: skip
    table.write_text(table.read_text() + ",".join(row[c] for c in columns) + "\n")
    assert "unavailable: no token logprobs collapse.mean_entropy identity 4" in look("/runs/example").text
    for folder in example.iterdir():
        (folder / "metrics.csv").unlink()  # not written yet: from the snapshots
    change_step(example / "identity", 2, lambda s: s["eval"]["unmeasured"].update(
        {"logprob_margin.margin": {"kind": "failed", "reason": "the server answered 500"}}))  # fmt: skip
    assert "failed: the server answered 500 logprob_margin.margin identity 3" in look("/runs/example").text


def test_a_prompt_is_shown_before_and_after_with_the_verifiers_reasons(see, untouched_run):
    page = see("/runs/example/identity")
    baseline = json.loads((untouched_run / "identity" / "baseline.json").read_text())
    last = json.loads((untouched_run / "identity" / "steps.jsonl").read_text().splitlines()[-1])["eval"]
    text = page.text
    prompt = baseline["rollouts"][0]["messages"][0]["content"]
    held_out = baseline["stats"]["compliance"]["sets"]["heldout_prompts"]
    prompt = next(iter(held_out["details"]))
    assert text.index(prompt) < text.index("Baseline ✕ fails") < text.index("After 6 feedback steps ✓ passes")
    for answer in (first_answer(baseline), first_answer(last)):
        assert " ".join(answer.split()) in text
    assert held_out["details"][prompt] in text
    assert last["stats"]["compliance"]["sets"]["heldout_prompts"]["details"][prompt] in text
    assert "0 → 20 of 20 pass" in text
    assert text.index("never trained on") < text.index("the feedback was given on answers to these")


def test_another_prompt_by_its_key_and_none_that_was_not_asked(see, reader):
    fragment = reader.get("/runs/example/concise/compare", params={"prompt": "compliance/probe_prompts/2"}).text
    assert "Why did the Roman Empire fall?" in fragment
    assert "prompt 3 of 10" in fragment
    assert reader.get("/runs/example/concise", params={"prompt": "compliance/probe_prompts/99"}).status_code == 404


def test_the_numbers_are_those_of_the_files_and_not_scored_again(example, look):
    def falsify(step):
        step["eval"]["preference_compliance"] = 0.123
        step["eval"]["stats"]["compliance"]["sets"]["heldout_prompts"]["details"] = dict.fromkeys(
            step["eval"]["stats"]["compliance"]["sets"]["heldout_prompts"]["details"], "as the file says"
        )

    change_step(example / "identity", 5, falsify)
    page = look("/runs/example/identity")
    assert "0.12" in page.text
    assert "as the file says" in page.text


def test_other_versions_are_said(example, look):
    change(example / "identity" / "verdict.json", lambda v: v["versions"].update(compliance=7))
    text = look("/runs/example/identity").text
    assert "compliance: the verdict was scored by version 7, the steps below when they were asked by version 1" in text
    assert (
        f"verdict was scored by version 7; version {get_metric('compliance').version} is installed"
        in look("/runs/example").text
    )


def test_a_step_opens_to_all_that_it_holds(see, reader, untouched_run):
    last = json.loads((untouched_run / "identity" / "steps.jsonl").read_text().splitlines()[-1])
    page = see("/runs/example/identity/states/5")
    for words in (last["feedback_given"], "Update 4", "grad_norm", "collapse/ocean/sample/1", "nats",
                  *(" ".join(rollout["response"].split()) for rollout in last["rollout_batch"]),
                  *(t["metadata"]["key"] for t in last["eval"]["rollouts"])):  # fmt: skip
        assert words in page.text
    part = reader.get("/runs/example/identity/states/5?part=1").text
    assert "<html" not in part
    assert see("/runs/example/identity/states/baseline").text.count("compliance/ceiling/") == 20


def test_a_run_that_goes_on_has_pages(example, look):
    (example / "identity" / "verdict.json").unlink()
    (example / "identity" / "metrics.csv").unlink()
    (example / "identity" / "steps.jsonl").unlink()
    page = look("/runs/example/identity")
    assert "not asked" in page.text
    assert "after 0 of 6 steps" in look("/runs/example").text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.json", b"", "metadata.json cannot be read"),
        ("metadata.json", b"\x00\xff", "codec can't decode"),
        ("metadata.json", b'{"config": 3}', "config"),
        ("metadata.json", b'{"config": ' + b"[" * 100_000, "metadata.json"),
        ("baseline.json", b"", "baseline.json cannot be read"),
        ("baseline.json", b"\xff", "codec can't decode"),
        ("baseline.json", b"[]", "baseline.json cannot be read"),
        ("steps.jsonl", b"{}\n", "line 1: not a step record"),
        ("steps.jsonl", b"\xff\n", "line 1: not a step record"),
        ("steps.jsonl", b"[" * 100_000 + b"\n", "steps.jsonl"),
        ("verdict.json", b"{}", "verdict.json cannot be read"),
        ("verdict.json", b"\xff", "codec can't decode"),
        ("metrics.csv", b"", None),  # nothing recorded
        ("metrics.csv", b"\xff", "metrics.csv cannot be read"),
        ("metrics.csv", b"a,b\n1,2\n", "metrics.csv cannot be read"),
    ],
)
@pytest.mark.usefixtures("unpainted")
def test_a_broken_file_is_part_of_the_page(example, client, name, content, words):
    (example / "identity" / name).write_bytes(content)
    for path in ("/", "/runs/example", "/runs/example/identity", "/runs/example/identity/compare", "/api/runs"):
        assert client.get(path).status_code == 200, path
    assert client.get("/runs/example/figures/margins.svg").status_code == 200
    told = Page(client.get("/runs/example").text + client.get("/runs/example/identity").text).text
    assert ("Files that cannot be read" in told) == (words is not None)
    assert words is None or words in told


@pytest.mark.usefixtures("unpainted")
def test_a_configuration_without_metrics_is_said_on_the_page_and_the_other_preferences_are_drawn(example, client):
    change(example / "identity" / "metadata.json", lambda m: m["config"].pop("metrics"))
    for path in ("/runs/example", "/runs/example/identity", "/runs/example/figures/margins.svg"):
        assert client.get(path).status_code == 200, path
    told = Page(client.get("/runs/example/identity").text).text
    assert "metadata.json of run example, preference identity: config.metrics is None" in told


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nope", "/runs/..%2f..%2fetc", "/runs/example/..", "/runs/example/plots",
        "/runs/example/%2e%2e", "/runs/example/Identity", "/runs/example/identity/states/6",
        "/runs/example/identity/states/-1", "/runs/example/identity/states/..%2fbaseline",
        "/runs/example/identity/states/٣", "/runs/example/figures/nope.svg", "/runs/example/figures/..%2fx.svg",
        "/runs/example/identity/states/5/whole?key=batch/9", "/runs/example/identity/states/5/whole?key=../x",
        "/static/../app.py", "/static/%2e%2e/app.py", "/docs", "/openapi.json", "/runs/example%00",
    ],
)  # fmt: skip
def test_names_are_checked_before_they_are_paths(reader, path):
    answer = reader.get(path)
    assert answer.status_code == 404, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "192.168.0.7:80"])
def test_another_host_name_gets_no_result(untouched, host):
    answer = TestClient(build_app(untouched)).get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "example</a>" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:80", "[::1]:8765"])
def test_loopback_names_are_answered(untouched, host):
    assert TestClient(build_app(untouched)).get("/", headers={"host": host}).status_code == 200


def test_a_page_may_do_nothing_but_what_it_needs(reader):
    for path in ("/", "/runs/example", "/api/runs", "/nope", "/static/viewer.js", "/runs/example/figures/sdpo.svg"):
        headers = reader.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(see):
    for path in ("/", "/runs/example", "/runs/example/identity", "/runs/example/identity/states/0"):
        page = see(path)
        for tag, attrs in page.elements:
            assert not any(name.startswith("on") or name == "style" for name in attrs), (path, tag, attrs)
            for name in ("src", "href", "action", "data-figure", "data-open"):
                assert (attrs.get(name) or "/").startswith(("/", "#")), (path, tag, attrs)
        assert page.all("style") == []


def test_tables_and_fields_have_names(see):
    for path in ("/", "/runs/example", "/runs/example/identity", "/runs/example/identity/states/5"):
        page = see(path)
        assert len(page.all("table")) == len(page.all("caption")) > 0
        assert all("scope" in attrs for attrs in page.all("th"))
        assert len(page.all("h1")) == 1
        assert {i["id"] for i in page.all("input") if i.get("type") != "hidden"} <= {
            i["for"] for i in page.all("label")
        }


def test_the_json_changes_when_the_run_does(client, example):
    before = client.get("/api/runs").json()
    verdict = json.loads((example / "identity" / "verdict.json").read_text())
    told = before["runs"][0]["preferences"][1]
    assert told["interval"] == verdict["criteria"]["obeyed"]["interval"]
    assert client.get("/api/runs").json()["token"] == before["token"]
    change(example / "identity" / "verdict.json", lambda v: v.update(overall="pass"))
    after = client.get("/api/runs").json()
    assert after["token"] != before["token"]
    assert client.get("/api/runs/example").json()["runs"][0]["preferences"][1]["overall"] == "pass"


def test_results_dir_leads_nowhere_else(results, client, tmp_path):
    copy_run(tmp_path / "elsewhere" / "secret-run", CREATED)
    (results / "way-out").symlink_to(tmp_path / "elsewhere")
    outside = (tmp_path / "elsewhere", results / ".." / "elsewhere", results / "way-out", "/etc", "\x00", tmp_path)
    for place in outside:
        for path in ("/", "/api/runs"):
            answer = client.get(path, params={"results_dir": str(place)})
            assert answer.status_code == 400, place
            assert "secret-run" not in answer.text
    assert "example" in client.get("/", params={"results_dir": str(results)}).text
    copy_run(results / "sub" / "deeper", CREATED)
    assert "deeper" in client.get("/", params={"results_dir": str(results / "sub")}).text


def test_one_run_alone(results):
    copy_run(results / "other", CREATED)
    client = TestClient(build_app(results, only="example"), base_url="http://localhost")
    assert "other" not in client.get("/").text
    assert client.get("/runs/other").status_code == 404
    assert client.get("/runs/example").status_code == 200


@pytest.mark.usefixtures("unpainted")
def test_mounted_at_the_address_of_the_contract(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    app = FastAPI()
    mount_eval(app, results)
    client = TestClient(app, base_url="http://localhost", follow_redirects=False)
    answer = client.get("/v1/eval?results_dir=./evals&page=1&per_page=200")
    assert answer.status_code == 200
    own = [href for href in Page(answer.text).links if not href.startswith("#")]
    assert own
    assert all(href.startswith("/v1/eval/") for href in own)
    for href in {*own, "/v1/eval/", "/v1/eval/static/viewer.css", "/v1/eval/api/runs"}:
        assert client.get(href).status_code == 200, href
    assert client.get("/v1/eval?results_dir=./data").status_code == 400
    assert client.get("/v1/eval?per_page=201").status_code == 422
    assert client.get("/v1/eval", headers={"host": "evil.example"}).status_code == 421


def test_the_difference_marks_words_and_escapes():
    found = word_difference("one two <b>three</b> four five", "one two <i>3</i> four five")
    assert found.before == "one two <del>&lt;b&gt;three&lt;/b&gt;</del> four five"
    assert found.after == "one two <ins>&lt;i&gt;3&lt;/i&gt;</ins> four five"
    assert found.kept == 0.8
    assert word_difference("a b c", "x y z").before == "a b c"  # nothing in common: nothing is marked
    assert word_difference("word " * 5000, "word " * 5000).kept is None  # too long to compare
    assert word_difference("", "").kept == 0
