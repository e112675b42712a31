"""The viewer in a real browser: a step opens, a hostile answer stays text, the policy blocks nothing of ours."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.journal import Journal
from docs.screenshots import browser, served
from tests.viewer.conftest import change, change_step

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright", reason="playwright is not installed (the dev extra has it)")
    try:
        opened = browser()
        found = opened.__enter__()
    except RuntimeError as error:
        pytest.skip(str(error))
    yield found
    opened.__exit__(None, None, None)


@pytest.fixture
def open_page(chromium, results):
    """`open_page(path)` is a page of the viewer; anything that the browser complains of fails the test."""
    complaints = []
    with served(results) as address:
        page = chromium.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(address) else complaints.append(f"fetched {r.url}"))

        def open_at(path):
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
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
    assert step.get_attribute("aria-expanded") == "false"
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
    page.get_by_role("link", name="Verdict").click()
    page.wait_for_function("() => document.querySelector('th[aria-sort=ascending]')?.innerText.startsWith('Verdict')")


def test_the_list_follows_a_run(open_page, results, example):
    page = open_page("/")
    assert "complete" in page.locator("#runs").inner_text()
    with Journal(example / "identity").lock():
        change(example / "identity" / "metadata.json", lambda m: m["config"].update(num_steps=9))
        page.get_by_text("step 7 of 9").wait_for()
    page.get_by_text("interrupted: after 6 of 9 steps").wait_for()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(chromium, results, width):
    with served(results) as address:
        page = chromium.new_page(viewport={"width": width, "height": 800})
        for path in ("/", "/runs/example", "/runs/example/identity", "/runs/example/identity/states/5"):
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.close()


def test_without_a_script_every_link_leads_to_a_page(chromium, results):
    with served(results) as address:
        page = chromium.new_page(java_script_enabled=False)
        page.goto(f"{address}/runs/example/identity")
        page.locator('a[data-open$="/states/2?part=1"]').click()
        assert page.locator("h1").inner_text() == "After 3 feedback steps"
        page.goto(f"{address}/runs/example")
        assert page.locator("noscript img, figure img").count() == 5
        page.close()


def test_the_report_opens_from_disk(chromium, example):
    from claas_assets.viewer.report import write_report

    complaints = []
    page = chromium.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(write_report(example).as_uri())
    assert page.locator("svg.figure").count() == 5
    assert page.locator("h1").evaluate("e => getComputedStyle(e).fontWeight") == "650"  # its style is allowed
    page.close()
    assert complaints == []
