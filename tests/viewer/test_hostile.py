"""Everything that a model, a server or a file says is text."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, deque

import pytest

from claas_assets.evaluation.figures.margins import margins_figure
from claas_assets.evaluation.figures.series import runs_of
from claas_assets.viewer.report import render_report
from claas_assets.viewer.svg import _raw_svg, clean_svg, figure_svg
from claas_assets.viewer.text import cut, marked, plain, visible
from tests.synthetic.stories import demo
from tests.viewer.conftest import EVIL, Page, change, change_step, keep_only

# Values that a reader of files checks: another would be a broken file, which has a test of its own.
STRUCTURE = {"key", "kind", "role", "metric", "overall", "outcome", "grade", "evidence", "snapshot", "method",
             "created", "preference", "run_id", "name", "version"}  # fmt: skip
NEEDED = ("num_steps", "metrics")
FREE_KEYS = {"scores", "passed", "details", "missing", "config", "sdpo_metrics", "packages", "unmeasured"}


def poisoned(value, parent=""):
    """Every free text with EVIL behind it, keys of free tables too."""
    if isinstance(value, dict):
        return {
            f"{key}{EVIL}" if parent in FREE_KEYS and key not in NEEDED else key: poisoned(item, key)
            if key not in STRUCTURE
            else item
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, parent) for item in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


@pytest.fixture
def evil_run(example):
    """The example with EVIL in every text of every file, and one preference for speed."""
    folder = keep_only(example, "identity")
    lines = (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "steps.jsonl").write_text("".join(json.dumps(poisoned(json.loads(line))) + "\n" for line in lines))
    for name in ("baseline.json", "metadata.json", "verdict.json"):
        content = poisoned(json.loads((folder / name).read_text()))
        if name == "verdict.json":
            content["alerts"] = [f"step 1: {EVIL}"]
        (folder / name).write_text(json.dumps(content))
    with open(folder / "metrics.csv", "a", encoding="utf-8") as file:
        file.write(
            f'example,identity,step,1,light,x,"q{EVIL.replace(chr(34), chr(34) * 2)}",,,,,,,failed: {EVIL[:20]},1\n'
        )
    return example


def assert_harmless(page: Page, path: str) -> None:
    for tag, attrs in page.elements:
        assert tag not in ("img", "iframe", "object", "embed") or attrs.get("class") == "figure", (path, tag, attrs)
        assert tag != "script" or attrs.get("src", "").endswith("/static/viewer.js"), (path, attrs)
        assert not any(name.startswith("on") for name in attrs), (path, tag, attrs)
        assert not (attrs.get("href") or "").lower().startswith(("javascript:", "data:")), (path, attrs)


def test_no_page_of_a_run_runs_what_its_files_say(evil_run, client):
    """Of the pages of one prompt, three of each set and filter: a thousand are all, of one template."""
    waiting, seen, kinds = deque(["/"]), set(), Counter()
    while waiting:
        path = waiting.popleft()
        kind = re.sub(r"((?:key|prompt)=\w+/\w+)[^&]*", r"\1", path)
        if path in seen or path.startswith("#") or kinds[kind] == 3:
            continue
        seen.add(path)
        kinds[kind] += 1
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        if answer.headers["content-type"].startswith("text/plain"):
            continue
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        page = Page(answer.text)
        assert_harmless(page, path)
        waiting.extend(page.links)
        waiting.extend(a["data-figure"] for a in page.all("figure"))
        waiting.extend(a["data-open"] for a in page.all("a") if "data-open" in a)
    assert len(seen) > 200
    assert {f"/runs/example/identity/states/{state}" for state in ("baseline", *range(6))} < seen
    text = Page(client.get("/runs/example/identity").text).text
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in text
    assert "{{7*7}}" in text
    assert "␛[31mU+202Egnp" in text


def test_runs_side_by_side_and_sweeps_show_hostile_texts_as_text(evil_run, client):
    """Two runs that differ in everything, of one sweep; every held-out answer and verdict of one is another."""
    other = evil_run.parent / "other"
    shutil.copytree(evil_run, other)
    for run in (evil_run, other):
        change(run / "identity" / "metadata.json", lambda m: m["config"].update(sweep_id="evil", seed=1))
    change(other / "identity" / "metadata.json", lambda m: m["config"].update({f"lr{EVIL}": f"1{EVIL}", "seed": 2}))
    lines = (other / "identity" / "steps.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    held_out = last["eval"]["stats"]["compliance"]["sets"]["heldout_prompts"]
    held_out["passed"] = {prompt: not passed for prompt, passed in held_out["passed"].items()}
    (other / "identity" / "steps.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    for path in ("/compare?run=example&run=other", "/sweeps/evil", "/"):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text[:300]
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        assert_harmless(Page(answer.text), path)
    side_by_side = Page(client.get("/compare?run=example&run=other").text).text
    assert "20 of 20 held-out prompts flipped" in side_by_side
    assert f"lr{EVIL}".partition("\x1b")[0] in side_by_side
    assert f"1{EVIL}".partition("\x1b")[0] in Page(client.get("/sweeps/evil").text).text
    assert "\x1b" not in client.get("/compare.json?run=example&run=other").text  # for a terminal
    table = client.get("/compare.csv?run=example&run=other")
    assert "\x1b" not in table.text
    assert "\u202e" not in table.text
    assert "sandbox" in table.headers["content-security-policy"]


def test_a_hostile_obstacle_and_a_hostile_sweep_id_are_text(evil_run, client):
    other = evil_run.parent / "other"
    shutil.copytree(evil_run, other)
    change(other / "identity" / "metadata.json", lambda m: m["config"].update(base_model=f"b{EVIL}", sweep_id=EVIL))
    page = Page(client.get("/compare?run=example&run=other").text)
    assert_harmless(page, "compare")
    assert "Must not be compared" in page.text
    assert "b<script>alert(1)</script>" in page.text
    listed = Page(client.get("/").text)
    assert_harmless(listed, "/")
    assert "sweep <script>alert(1)</script>" in listed.text
    assert not [href for href in listed.links if "/sweeps/" in href]


def test_the_report_runs_nothing_either(evil_run):
    html = render_report(evil_run)
    assert "\x1b" not in html
    assert "\u202e" not in html
    page = Page(html)
    assert page.all("script") == []
    assert_harmless(page, "report")
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.usefixtures("unpainted")
def test_an_answer_of_a_megabyte_is_cut_with_a_link_to_the_whole(example, client):
    long = "<b>long</b> " * 90_000

    def lengthen(step):
        step["rollout_batch"][0]["response"] = long
        step["eval"]["rollouts"][-1]["messages"][-1]["content"] = long
        for transcript in step["eval"]["rollouts"]:
            if transcript["metadata"]["key"] == "compliance/heldout_prompts/0":
                transcript["messages"][-1]["content"] = long

    change_step(keep_only(example, "identity"), 5, lengthen)
    answer = client.get("/runs/example/identity/states/5")
    assert len(answer.content) < 400_000
    assert "Cut after 4,000 of 1,080,000 characters" in answer.text
    shown = client.get("/runs/example/identity")
    assert len(shown.content) < 100_000
    whole = next(href for href in Page(shown.text).links if "/states/5/whole" in href)
    raw = client.get(whole)
    assert raw.text == long
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in raw.headers["content-security-policy"]
    assert len(render_report(example).encode()) < 2_000_000


def test_invisible_characters_are_marked_and_others_left():
    assert marked("a\u202eb") == 'a<span class="ctl" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>b'
    assert "␛" in marked("\x1b[0m")
    assert "U+200B" in marked("zero\u200bwidth")
    assert "U+E0041" in marked("tag\U000e0041")
    assert "U+D800" in marked("\ud800")
    untouched = "línea\n\tשלום 👩‍👩‍👧 日本語"
    assert marked(untouched) == untouched
    assert marked("a\r\nb") == "a\nb"
    assert visible("<") == "<bdi>&lt;</bdi>"
    assert plain("a\u202e\nb") == "a\N{REPLACEMENT CHARACTER} b"
    assert cut("abc", 2) == ("ab", 2, 3)


def test_a_figure_shows_a_hostile_text_as_text():
    made = demo()
    renamed = {"x": made.scores["identity"].model_copy(update={"preference": f'<b a="x">&{EVIL[:25]}', "steps": []})}
    svg = clean_svg(_raw_svg(margins_figure(runs_of(renamed, {})), "margins"), "margins")
    page = Page(svg)
    assert "<script>alert(1)</script>"[:20] in page.text
    assert {tag for tag, _ in page.elements} <= {"svg", "g", "path", "text", "defs", "clippath", "rect", "use"}
    assert not any("style" in attrs for _, attrs in page.elements)


def test_a_figure_that_is_drawn_again_is_the_same_text():
    runs = runs_of({"identity": demo().scores["identity"]}, {})
    first, again = (clean_svg(_raw_svg(margins_figure(runs), "margins"), "margins") for _ in range(2))
    assert first == again


def test_the_sanitizer_keeps_shapes_alone():
    svg = clean_svg(
        b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1">'
        b"<script>alert(1)</script><style>*{}</style><foreignObject><p>x</p></foreignObject>"
        b'<a xlink:href="javascript:1"><text>link</text></a><image href="http://x"/>'
        b'<g id="me" onclick="x()"><use xlink:href="http://evil/#a" x="1"/><use xlink:href="#m1"/></g>'
        b'<path id="m1" d="M 0.123456 1" style="fill: #0072B2; behavior: url(x); stroke: #1a1a1a" clip-path="url(#c)"/>'
        b"</svg>",
        "margins",
    )
    page = Page(svg)
    assert [tag for tag, _ in page.elements] == ["svg", "g", "use", "use", "path"]
    assert page.all("use") == [{"x": "1"}, {"href": "#margins-0"}]
    assert page.all("path") == [
        {
            "id": "margins-0",
            "d": "M 0.12 1",
            "fill": "#0072b2",
            "stroke": "currentColor",
            "clip-path": "url(#margins-1)",
        }
    ]
    assert page.all("g") == [{}]


def test_two_figures_on_a_page_share_no_id(untouched_run):
    found = [
        {attrs["id"] for _, attrs in Page(figure_svg(untouched_run, n)).elements if "id" in attrs}
        for n in ("margins", "sdpo")
    ]
    assert all(found)
    assert not found[0] & found[1]


def test_every_reference_in_a_figure_has_its_target(untouched_run):
    for name in ("margins", "collapse"):
        elements = Page(figure_svg(untouched_run, name)).elements
        ids = {attrs["id"] for _, attrs in elements if "id" in attrs}
        referred = {attrs["href"][1:] for tag, attrs in elements if tag == "use"}
        clips = {attrs["clip-path"][5:-1] for _, attrs in elements if "clip-path" in attrs}
        assert referred
        assert clips
        assert referred | clips <= ids


def test_hostile_metadata_does_not_reach_the_title_raw(example, client):
    change(example / "identity" / "metadata.json", lambda m: m["config"].update(base_model=EVIL))
    change(example / "concise" / "metadata.json", lambda m: m["config"].update(base_model=EVIL))
    assert_harmless(Page(client.get("/").text), "/")


def test_a_figure_is_the_same_each_time_it_is_drawn():
    """Matplotlib's ids hold addresses of memory."""
    one, other = (
        clean_svg(
            b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><g><path d="M 0 1" clip-path="url(#%s)"/></g>'
            b'<defs><clipPath id="%s"><rect x="0" y="0" width="1" height="1"/></clipPath></defs></svg>' % (name, name),
            "sdpo",
        )
        for name in (b"pda54da678f", b"pe1a243b55a")
    )
    assert one == other
    assert one.count("sdpo-0") == 2
