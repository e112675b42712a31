"""Runs side by side and sweeps: what the pages claim, what they refuse, and which words they show of whom."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from claas_assets.evaluation.comparison.comparison import compare
from claas_assets.evaluation.runs.frames import load_run
from claas_assets.viewer.app import build_app, mount_eval
from claas_assets.viewer.compared_runs import read_runs
from tests.synthetic.example_copies import copy_run
from tests.synthetic.runs import made_run, passing, write_run
from tests.viewer.conftest import CREATED, Page, change

SWEPT = {"base_model": "m", "sweep_id": "rates"}


def job(name, passed, *, rate, seed, **config):
    return made_run(
        name, passing(passed), config={**SWEPT, "seed": seed, "training": {"learning_rate": rate}, **config}
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs `a` and `b` that may be compared, `other-model` that may not be, and the sweep `rates` of six."""
    folder = tmp_path_factory.mktemp("compare") / "evals"
    write_run(folder, made_run("a", passing(5), config={"seed": 1}))
    write_run(folder, made_run("b", passing(12), config={"seed": 2, "training": {"learning_rate": 1e-3}}))
    write_run(folder, made_run("other-model", passing(12), config={"base_model": "another/model"}))
    for rate, counts in ((1e-4, (6, 8, 7)), (1e-3, (12, 16))):
        for seed, passed in enumerate(counts, 1):
            write_run(folder, job(f"s-{rate:g}-{seed}", passed, rate=rate, seed=seed))
    return folder


@pytest.fixture(scope="module")
def made_client(made):
    return TestClient(build_app(made), base_url="http://localhost")


@pytest.fixture
def own(made, tmp_path):
    """A copy to spoil, and a client of it."""
    shutil.copytree(made, tmp_path / "evals")
    return tmp_path / "evals", TestClient(build_app(tmp_path / "evals"), base_url="http://localhost")


def page_of(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:500]
    return Page(answer.text)


# --- runs side by side ------------------------------------------------------------------------------


def test_runs_are_chosen_by_check_boxes_in_a_form_that_needs_no_script(made_client):
    page = page_of(made_client, "/")
    (form,) = [form for form in page.all("form") if form["action"] == "/compare"]
    assert form["method"] == "get"
    boxes = [box for box in page.all("input") if box.get("type") == "checkbox"]
    assert {box["value"] for box in boxes} >= {"a", "b", "other-model"}
    assert {box["name"] for box in boxes} == {"run"}
    assert {box["id"] for box in boxes} <= {label["for"] for label in page.all("label")}
    page_of(made_client, f"{form['action']}?run=a&run=b")


def test_one_run_alone_has_nothing_to_be_chosen_for(client):
    page = page_of(client, "/")
    assert [box for box in page.all("input") if box.get("type") == "checkbox"] == []


def test_values_intervals_grades_and_evidence_stand_beside_each_other(made, made_client):
    text = page_of(made_client, "/compare?run=a&run=b").text
    runs = [load_run(made / name) for name in ("a", "b")]
    for run in runs:
        criterion = run.preferences["identity"].verdict.criteria["obeyed"]
        assert criterion.grade in text
        assert f"0.15 → {criterion.value:.2f}" in text
        assert f"{criterion.change:+.2f} [{criterion.interval.lower:+.2f}, ".replace("-", "−") in text
    found = compare(runs).preferences[0].pairs[0].differences["obeyed"]
    interval = f"[{found.interval.lower:+.2f}, {found.interval.upper:+.2f}] (90%)"
    assert f"obeys the preference +0.35 {interval} 20 0.00 shown" in text


def test_prompts_that_flipped_show_both_answers_the_verifiers_reasons_and_the_words(made, made_client):
    answer = made_client.get("/compare?run=a&run=b").text
    page = Page(answer)
    assert "7 of 20 held-out prompts flipped: 7 pass only in b, 0 only in a" in page.text
    last = load_run(made / "b").preferences["identity"].last
    prompt = compare([load_run(made / "a"), load_run(made / "b")]).preferences[0].pairs[0].flips[0].prompt
    units = last.stats.compliance.sets["heldout_prompts"]
    assert prompt in page.text
    assert f"Verifier: {units.details[prompt]}" in page.text
    assert "I <del>am</del>" not in answer  # the kept words are not marked
    assert re.search(r"I am <del>an assistant\.</del>", answer)
    assert re.search(r"I am <ins>Kuro\.</ins>", answer)
    whole = [href for href in page.links if "/whole?key=" in href]
    assert len(whole) == 0  # nothing is cut


def test_only_the_keys_that_differ_are_listed(own):
    folder, made_client = own
    text = page_of(made_client, "/compare?run=a&run=b").text
    section = text[text.index("What differs in the configuration") : text.index("identity")]
    assert "training.learning_rate" in section
    assert "seed" in section
    assert "num_steps" not in section
    assert "output_dir" not in section
    shutil.copytree(folder / "a", folder / "a-again")
    assert "Nothing: it is the same" in page_of(made_client, "/compare?run=a&run=a-again").text


def test_what_must_not_be_compared_is_said_first_and_no_difference_is_claimed(made_client):
    answer = made_client.get("/compare?run=a&run=other-model").text
    page = Page(answer)
    text = page.text
    assert text.index("Must not be compared") < text.index("What differs in the configuration")
    assert "base models differ: HuggingFaceTB/SmolLM2-135M-Instruct in a, another/model in other-model" in text
    assert "every criterion" in text
    assert "flipped" not in text
    assert "Held-out prompts: not compared. base models differ" in text
    differences = text[text.index("other-model against a") :]
    assert differences.count("no difference is claimed: base models differ") == 5
    assert "0.35" not in differences
    assert "not comparable" in text
    assert "Must not be compared" not in page_of(made_client, "/compare?run=a&run=b").text


def test_three_runs_are_each_paired_with_the_first(made_client):
    text = page_of(made_client, "/compare?run=a&run=b&run=other-model").text
    assert "b against a" in text
    assert "other-model against a" in text
    assert "other-model against b" not in text
    assert "7 of 20 held-out prompts flipped" in text


def test_the_same_as_json_and_csv(made, made_client):
    told = made_client.get("/compare.json?run=a&run=b")
    assert told.headers["content-type"] == "application/json"
    expected = compare([load_run(made / name) for name in ("a", "b")]).model_dump(mode="json")
    for run in expected["runs"]:
        run["folder"] = run["run_id"]  # not where it is on this machine
    assert told.json() == {**expected, "broken": {}}
    table = made_client.get("/compare.csv?run=a&run=b")
    assert table.headers["content-type"].startswith("text/csv")
    rows = {(row["criterion"], row["run_id"]): row for row in csv.DictReader(io.StringIO(table.text))}
    assert float(rows["obeyed", "b"]["difference"]) == pytest.approx(0.35)
    assert rows["obeyed", "a"]["difference"] == ""
    links = page_of(made_client, "/compare?run=a&run=b").links
    assert {"/compare.json?run=a&run=b", "/compare.csv?run=a&run=b"} <= set(links)


def test_what_is_kept_of_a_run_is_all_that_a_comparison_reads(tmp_path):
    """On the real run: three preferences, every criterion, and one of them with another number of steps."""
    example, other = copy_run(tmp_path / "example", CREATED, steps=3), tmp_path / "other"
    shutil.copytree(example, other)
    lines = (other / "identity" / "steps.jsonl").read_text().splitlines(keepends=True)
    (other / "identity" / "steps.jsonl").write_text("".join(lines[:2]))
    (other / "concise" / "steps.jsonl").unlink()
    (other / "concise" / "verdict.json").unlink()
    slim, broken = read_runs([example, other])
    assert broken == {}
    whole = [load_run(example), load_run(other)]
    # A page scores each run of 0.1.0 afresh as it reads it, so that nothing is left to be said of that.
    apart = {"runs": {"__all__": {"folder"}}, "preferences": {"__all__": {"scored"}}}
    left, right = (compare(runs).model_dump(exclude=apart) for runs in (slim, whole))
    assert left == right
    kept = [len(run.steps) for run in slim[0].preferences.values()]
    assert kept == [1, 1, 1]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "Choose two to 8 runs"),
        ("run=a", 400, "1 were"),
        ("run=a&run=a", 400, "1 were"),
        ("&".join(f"run=r{i}" for i in range(9)), 400, "9 were"),
        ("run=a&run=nope", 404, "no such run: nope"),
        ("run=a&run=..%2fa", 404, "no such run"),
        ("run=a&run=%00", 404, "no such run"),
        ("run=a&run=%3Cscript%3E", 404, "no such run: <script>"),
        (f"run=a&run={'x' * 5000}", 404, "no such run"),
    ],
)
@pytest.mark.parametrize("form", ["", ".json", ".csv"])
def test_what_cannot_be_compared_is_a_page_that_says_why(made_client, query, status, words, form):
    page = page_of(made_client, f"/compare{form}?{query}", status)
    assert words in page.text
    assert page.all("script") == [{"src": "/static/viewer.js", "defer": None}]


def test_a_broken_run_is_shown_as_broken_beside_the_others(own):
    folder, client = own
    (folder / "b" / "identity" / "steps.jsonl").write_text("{}\n")
    page = page_of(client, "/compare?run=a&run=b&run=other-model")
    assert "Broken: not compared" in page.text
    assert "b: identity" in page.text
    assert "steps.jsonl" in page.text
    assert str(folder) not in page.text
    assert "other-model against a" in page.text
    assert list(client.get("/compare.json?run=a&run=b").json()["broken"]) == ["b"]
    assert "b cannot be read" in page_of(client, "/compare.csv?run=a&run=b", 409).text
    shutil.copytree(folder / "b", folder / "c")
    assert "None of these runs can be read" in page_of(client, "/compare?run=b&run=c").text


@pytest.mark.parametrize("what", ["pipe", "link", "folder link", "types", "brackets"])
def test_files_that_lead_elsewhere_are_not_followed(own, tmp_path, what):
    folder, client = own
    path = folder / "b" / "identity" / "steps.jsonl"
    if what == "types":
        change(folder / "b" / "identity" / "metadata.json", lambda m: m["config"].update(seed="one"))
    elif what == "brackets":
        path.write_text("[" * 100_000 + "\n")
    elif what == "folder link":
        shutil.move(folder / "b" / "identity", tmp_path / "secret")
        (folder / "b" / "identity").symlink_to(tmp_path / "secret")
        shutil.copytree(folder / "a" / "identity", folder / "b" / "concise")
    else:
        shutil.move(path, tmp_path / "secret")
        os.mkfifo(path) if what == "pipe" else path.symlink_to(tmp_path / "secret")
    assert "Broken: not compared" in page_of(client, "/compare?run=a&run=b").text


def test_a_run_that_goes_on_is_compared_once_it_has_finished(own):
    folder, client = own
    before = page_of(client, "/compare?run=a&run=b").text
    steps = folder / "b" / "identity" / "steps.jsonl"
    lines = steps.read_text()
    steps.write_text(lines.splitlines(keepends=True)[0])
    text = page_of(client, "/compare?run=a&run=b").text
    assert "it did not finish" in text
    assert "interrupted" in text
    steps.write_text(lines)
    assert page_of(client, "/compare?run=a&run=b").text == before


def test_links_and_forms_stay_below_the_address_of_the_contract(made):
    app = FastAPI()
    mount_eval(app, made)
    client = TestClient(app, base_url="http://localhost")
    for path in ("/v1/eval", "/v1/eval/compare?run=a&run=other-model", "/v1/eval/sweeps/rates"):
        page = page_of(client, path)
        targets = [*page.links, *(form["action"] for form in page.all("form"))]
        own = [target for target in targets if not target.startswith("#")]
        assert own
        assert all(target.startswith("/v1/eval/") for target in own), path


# --- sweeps -----------------------------------------------------------------------------------------


def test_the_list_names_sweeps_and_leads_to_them(made_client):
    page = page_of(made_client, "/")
    assert "/sweeps/rates" in page.links
    assert {href for href in page_of(made_client, "/?q=rates").links if href.startswith("/runs/s-")}
    assert not [href for href in page_of(made_client, "/?q=rates").links if href == "/runs/a"]


def test_a_recipe_has_a_mean_over_seeds_and_fewer_than_three_are_no_claim(made_client):
    text = page_of(made_client, "/sweeps/rates").text
    assert "swept: training.learning_rate" in text
    assert re.search(r"0\.0001 0\.35 \[0\.23, 0\.47\] 3 ", text)  # 0.35 ± 4.303 · 0.05/√3
    assert re.search(r"0\.001 0\.70 2 seeds: no claim 2 1: 0\.60", text)
    assert "/compare?run=s-0.0001-1&run=s-0.0001-2&run=s-0.0001-3" in page_of(made_client, "/sweeps/rates").links


def test_the_dose_response_is_drawn_into_the_page_for_the_chosen_criterion(made_client):
    page = page_of(made_client, "/sweeps/rates")
    (figure,) = [svg for svg in page.all("svg") if svg.get("class") == "figure"]
    assert figure["aria-label"] == "Dose and response"
    assert "obeyed after the last step against training.learning_rate" in page.text
    assert not any("style" in attrs for _, attrs in page.elements)
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("get", "/sweeps/rates")
    assert [o["value"] for o in page.all("option") if "selected" in o] == ["obeyed"]
    other = page_of(made_client, "/sweeps/rates?criterion=logprob_margin")
    assert [o["value"] for o in other.all("option") if "selected" in o] == ["logprob_margin"]
    assert "logprob_margin after the last step against" in other.text


def test_two_swept_keys_can_each_be_the_dose(own):
    folder, client = own
    for seed in (1, 2, 3):
        write_run(folder, job(f"s-clip-{seed}", 9, rate=1e-3, seed=seed, batch_size=2))
    page = page_of(client, "/sweeps/rates?x=batch_size")
    assert "against batch_size" in page.text
    assert [o["value"] for o in page.all("option") if "selected" in o] == ["obeyed", "batch_size"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sweeps/nope", 404), ("/sweeps/..%2fa", 404), ("/sweeps/%00", 404), ("/sweeps/%3Cb%3E", 404),
        ("/sweeps/rates?criterion=nope", 400), ("/sweeps/rates?x=seed", 400),
        (f"/sweeps/rates?criterion={'x' * 1001}", 422),
    ],
)  # fmt: skip
def test_what_is_not_of_a_sweep_is_refused(made_client, path, status):
    page_of(made_client, path, status)


def test_replicates_alone_have_a_mean_and_no_figure_and_a_broken_run_is_left_out(own):
    folder, client = own
    for name in ("s-0.001-1", "s-0.001-2"):
        shutil.rmtree(folder / name)
    (folder / "s-0.0001-3" / "identity" / "steps.jsonl").write_text("{}\n")
    page = page_of(client, "/sweeps/rates")
    assert "nothing but the seed differs" in page.text
    assert "Broken: left out" in page.text
    assert "one configuration 0.35 2 seeds: no claim" in page.text
    assert [svg for svg in page.all("svg") if svg.get("class") == "figure"] == []


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1" + "0" * 400])
def test_a_setting_that_is_no_number_makes_a_broken_run(own, value):
    folder, client = own
    path = folder / "s-0.001-1" / "identity" / "metadata.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.001', f'"learning_rate": {value}', 1))
    text = page_of(client, "/sweeps/rates").text
    assert "s-0.001-1: identity/metadata.json cannot be read: config.training.learning_rate: a number" in text


def test_recipes_that_must_not_be_compared_are_marked(own):
    folder, client = own
    write_run(folder, job("s-model-1", 9, rate=1e-4, seed=1, base_model="another/model"))
    text = page_of(client, "/sweeps/rates").text
    assert "Must not be compared with" in text
    assert "base models differ: m and another/model" in text or "base models differ: another/model and m" in text
    assert "not comparable" in text
