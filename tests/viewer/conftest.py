"""A results folder with a copy of the example run, a client of its viewer, and a reader of what it answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from claas_assets.viewer.app import build_app
from tests.browser import browser
from tests.quick_pictures import quick_pictures
from tests.synthetic.example_copies import copy_run

CREATED = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}\x1b[31m\u202egnp"


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes, and the text outside script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("div", "ul"):
            self.texts.append(" ")

    def handle_endtag(self, tag):
        if tag in ("td", "th", "p", "li", "div", "section", "article"):
            self.texts.append(" ")

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    @property
    def links(self) -> list[str]:
        return [attrs["href"] for attrs in self.all("a") if attrs.get("href")]


@pytest.fixture(scope="session")
def untouched(tmp_path_factory) -> Iterator[Path]:
    """A results folder with the run `example`, for every test that only reads: figures are drawn once."""
    folder = tmp_path_factory.mktemp("untouched") / "evals"
    copy_run(folder / "example", CREATED)
    before = digest(folder)
    yield folder
    assert digest(folder) == before, "a test changed the run that all of them read"


@pytest.fixture(scope="session")
def untouched_run(untouched) -> Path:
    return untouched / "example"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for the tests of a file: each opens pages of its own.

    Not for longer: while it is open this thread has a running event loop, in which no other test could start one.
    """
    pytest.importorskip("playwright", reason="playwright is not installed (the dev extra has it)")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(browser())
        except RuntimeError as error:
            pytest.skip(str(error))
        yield found


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of a folder of its own that looks at no picture: of a shared one, others would be given the blank."""
    quick_pictures(monkeypatch)


def digest(folder: Path) -> dict[str, int]:
    return {str(path): hash(path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def reader(untouched) -> TestClient:
    return TestClient(build_app(untouched), base_url="http://localhost")


@pytest.fixture(scope="session")
def see(reader) -> Callable[[str], Page]:
    """`see("/runs/example")` is that page of the untouched run."""
    return lambda path: page_at(reader, path)


@pytest.fixture
def results(untouched, tmp_path) -> Path:
    """`<tmp>/evals` with the run `example`, to be changed."""
    shutil.copytree(untouched, tmp_path / "evals")
    return tmp_path / "evals"


@pytest.fixture
def example(results) -> Path:
    return results / "example"


@pytest.fixture
def client(results) -> TestClient:
    return TestClient(build_app(results), base_url="http://localhost")


@pytest.fixture
def look(client) -> Callable[[str], Page]:
    """`look("/runs/example")` is the page there, which must be one."""
    return lambda path: page_at(client, path)


def page_at(client: TestClient, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def keep_only(run: Path, preference: str) -> Path:
    """For speed, where one preference shows what three would: its folder."""
    for folder in run.iterdir():
        if folder.name != preference:
            shutil.rmtree(folder)
    return run / preference


def change(path: Path, edit: Callable[[dict], object]) -> None:
    """Edit a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_step(folder: Path, step: int, edit: Callable[[dict], object]) -> None:
    """Edit one line of a preference's steps.jsonl."""
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    edit(lines[step])
    (folder / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "verdict.json").touch()  # as in life: judged after the last step
