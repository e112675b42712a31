"""The viewer in a real browser: a step opens, a hostile answer stays text, the policy blocks nothing of ours."""

from __future__ import annotations

import shutil

import pytest

from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.viewer.app import build_app
from claas_assets.viewer.report import write_report
from tests.browser import served
from tests.synthetic.runs import made_run, passing, write_run
from tests.synthetic.sequences import Story, write_story
from tests.viewer.conftest import change, change_step

pytestmark = pytest.mark.slow

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


DRAWN = "() => [...document.querySelectorAll('[data-figure]')].every((place) => place.querySelector('svg'))"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A results folder, empty at first, and the address at which it is served."""
    folder = tmp_path_factory.mktemp("site") / "evals"
    folder.mkdir()
    with served(build_app(folder)) as address:
        yield folder, address


@pytest.fixture
def results(site, untouched):
    """What is served, as it was before the last test: files with the old times, so that no figure is drawn again."""
    shutil.rmtree(site[0])
    shutil.copytree(untouched, site[0])
    return site[0]


@pytest.fixture
def open_page(chromium, site, results):
    """`open_page(path)` is a page of the viewer; anything that the browser complains of fails the test."""
    complaints, address = [], site[1]
    page = chromium.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(address) else complaints.append(f"fetched {r.url}"))

    def open_at(path):
        page.goto(address + path)
        page.wait_for_function(DRAWN)
        return page

    yield open_at
    page.close()
    assert complaints == []


def test_a_step_opens_and_a_hostile_answer_is_text(open_page, example):
    def poison(step):
        step["rollout_batch"][0]["response"] = EVIL
        step["eval"]["rollouts"][-1]["messages"][-1]["content"] = EVIL

    change_step(example / "identity", 2, poison)
    page = open_page("/")
    page.get_by_role("link", name="example").click()
    page.get_by_role("link", name="identity", exact=True).first.click()
    step = page.locator('a[data-open$="/states/2?part=1"]')
    step.and_(page.locator("[aria-expanded=false]")).wait_for()  # its script has run
    step.press("Enter")
    answer = page.locator("tr.detail .answer").first
    answer.wait_for()
    assert answer.inner_text() == EVIL
    assert step.get_attribute("aria-expanded") == "true"
    assert page.locator("tr.detail img, tr.detail script").count() == 0
    assert "owned" not in page.title()
    step.click()
    assert not answer.is_visible()


def test_figures_are_drawn_into_the_page(open_page):
    page = open_page("/runs/example")
    assert page.locator("figure > svg.figure").count() == 5
    label = page.locator("figure text", has_text="feedback steps").first
    assert label.is_visible()
    assert label.evaluate("e => getComputedStyle(e).fill") == "rgb(92, 94, 99)"  # the page's own gray


def test_another_prompt_without_leaving_the_page(open_page):
    page = open_page("/runs/example/concise")
    page.evaluate("document.body.dataset.same = 'yes'")
    first = page.locator(".compare .prompt").inner_text()
    page.get_by_role("link", name="next →").click()
    page.wait_for_function("text => document.querySelector('.compare .prompt').innerText !== text", arg=first)
    assert "heldout_prompts" in page.url
    assert page.evaluate("document.body.dataset.same") == "yes"


def test_the_filter_works_as_one_types(open_page):
    page = open_page("/")
    page.get_by_label("Filter").fill("no_emoji")
    page.wait_for_function("() => document.querySelectorAll('#runs tbody tr').length === 1")
    assert "q=no_emoji" in page.url
    page.get_by_label("Filter").fill("")
    page.wait_for_function("() => document.querySelectorAll('#runs tbody tr').length === 3")
    page.get_by_role("link", name="Outcome").click()
    page.wait_for_function("() => document.querySelector('th[aria-sort=ascending]')?.innerText.startsWith('Outcome')")


def test_the_list_follows_a_run(open_page, example):
    page = open_page("/")
    page.clock.install()
    page.reload()
    assert "complete" in page.locator("#runs").inner_text()
    with FileJournal(example / "identity").lock():
        change(example / "identity" / "metadata.json", lambda m: m["config"].update(num_steps=9))
        page.clock.run_for(3_100)
        page.get_by_text("step 7 of 9").wait_for()
    page.clock.run_for(3_100)
    page.get_by_text("interrupted: after 6 of 9 steps").wait_for()


def test_runs_chosen_in_the_list_are_compared_and_a_hostile_answer_is_text(open_page, results):
    """A run that another filter hides stays chosen."""
    for name, passed in (("one", 5), ("two", 12)):
        write_run(results, made_run(name, passing(passed)))

    def poison(step):
        for transcript in step["eval"]["rollouts"]:
            if transcript["metadata"]["key"].startswith("compliance/heldout_prompts/"):
                transcript["messages"][-1]["content"] = f"{transcript['messages'][-1]['content']} {EVIL}"

    change_step(results / "two" / "identity", 1, poison)
    page = open_page("/")
    page.get_by_label("choose one").check()
    page.get_by_label("Filter").fill("two")
    page.wait_for_function("() => document.querySelectorAll('#runs tbody').length === 1")
    assert page.locator(".elsewhere").inner_text().strip() == "one"
    page.get_by_label("choose two").check()
    page.get_by_role("button", name="Compare the chosen runs").click()
    page.wait_for_url("**/compare?run=*")
    assert sorted(page.url.partition("?")[2].split("&")) == ["run=one", "run=two"]
    assert "7 of 20 held-out prompts flipped" in page.locator("h4").first.inner_text()
    flip = page.locator("details.flip").nth(3)
    flip.locator("summary").click()
    answers = [answer.inner_text() for answer in flip.locator(".answer").all()]
    assert f"I am Kuro. {EVIL}" in answers
    assert flip.locator("ins").count() > 0
    assert page.locator("main img, main script").count() == 0
    assert "owned" not in page.title()


def test_a_sweep_shows_its_figure_for_the_criterion_that_is_chosen(open_page, results):
    for rate in (1e-4, 1e-3):
        config = {"sweep_id": "rates", "training": {"learning_rate": rate}}
        write_run(results, made_run(f"s-{rate:g}", passing(9), config=config))
    page = open_page("/")
    page.get_by_role("link", name="rates").first.click()
    assert page.locator("figure > svg.figure").is_visible()
    page.get_by_label("Criterion").select_option("logprob_margin")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/sweeps/rates?criterion=logprob_margin")
    assert page.locator("figure text", has_text="logprob_margin after the last step").is_visible()


def test_filters_over_all_answers_and_one_prompt_over_all_steps(open_page, example):
    def spoil(step):
        said = [t for t in step["eval"]["rollouts"] if t["metadata"]["key"].startswith("compliance/probe_prompts/")]
        said[0]["messages"][-1]["content"] = "so so so " * 60
        said[1]["metadata"]["truncated"] = True

    change_step(example / "concise", 1, spoil)
    page = open_page("/runs/example/concise")
    page.get_by_role("link", name="degenerate", exact=True).click()
    loop = page.locator("article", has_text="so so so")
    assert loop.locator(".alert").inner_text().startswith("degenerate: a loop")
    assert "After 2 feedback steps" in loop.inner_text()
    page.get_by_role("link", name="truncated", exact=True).click()
    page.wait_for_url("**show=truncated")
    assert all("token limit" in text for text in page.locator("article .reason").all_inner_texts())
    page.get_by_role("link", name="fails", exact=True).click()
    page.wait_for_url("**show=fails")
    assert page.locator("article").count() > 0
    assert page.locator("article .mark.yes").count() == 0
    page.get_by_role("link", name="all", exact=True).click()
    page.get_by_role("link", name="Later →").click()
    page.wait_for_url("**page=2")
    assert "Page 2 of" in page.locator(".pager").inner_text()
    page.get_by_role("link", name="← Earlier").click()
    page.get_by_role("link", name="compliance/probe_prompts/0").first.click()
    page.wait_for_url("**key=**")
    assert page.locator("article").count() == 7  # the baseline and six steps
    assert "tokens" in page.locator("article .reason").first.inner_text()
    open_page("/runs/example/concise").get_by_role("link", name="over all steps").click()
    page.wait_for_url("**key=**")
    assert page.locator("h1").inner_text() == "One prompt over all steps"


def test_every_column_of_the_list_is_in_the_window(open_page, results):
    page = open_page("/")
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)"), (
            width
        )


def test_nothing_is_wider_than_the_window(open_page, results):
    names = [f"{number}-with-a-name-that-is-long" for number in ("one", "two", "three")]
    for name, rate in zip(names, (1e-4, 1e-3, 1e-2), strict=True):
        config = {"sweep_id": "rates", "training": {"learning_rate": rate}}
        write_run(results, made_run(name, passing(9), config=config))
    compared = f"/compare?{'&'.join(f'run={name}' for name in names)}"
    for path in (
        "/",
        "/runs/example",
        "/runs/example/identity",
        "/runs/example/identity/states/5",
        "/runs/example/identity/answers?show=fails",
        compared,
        "/sweeps/rates",
    ):
        page = open_page(path)
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


def test_without_a_script_every_link_leads_to_a_page(chromium, site, results):
    write_run(results, made_run("one", passing(9)))
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"{site[1]}/runs/example/identity")
    page.locator('a[data-open$="/states/2?part=1"]').click()
    assert page.locator("h1").inner_text() == "After 3 feedback steps"
    page.goto(f"{site[1]}/runs/example")
    assert page.locator("noscript img, figure img").count() == 5
    page.goto(site[1])
    page.get_by_label("choose one").check()
    page.get_by_label("choose example").check()
    page.get_by_role("button", name="Compare the chosen runs").click()
    assert page.locator("h1").inner_text() == "Runs side by side"
    page.close()


def test_the_report_opens_from_disk(chromium, example):
    complaints = []
    page = chromium.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(write_report(example).as_uri())
    assert page.locator("svg.figure").count() == 5
    assert page.locator("h1").evaluate("e => getComputedStyle(e).fontWeight") == "650"  # its style is allowed
    page.close()
    assert complaints == []


def test_the_matrix_of_a_sequence_opens_with_its_colors(open_page, results):
    write_story(results, "a-course", Story(0.5, 0.0))
    page = open_page("/runs/a-course")
    cells = page.locator("table.retention td")
    assert cells.count() == 12
    assert cells.nth(6).inner_text().startswith("0.5")
    color = "cell => getComputedStyle(cell).backgroundColor"
    untouched, kept = (cells.nth(index).evaluate(color) for index in (0, 3))
    assert untouched != kept
    page.get_by_role("link", name="course", exact=True).first.click()
    page.locator("table.retention").wait_for()
