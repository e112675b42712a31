"""The pictures of the viewer in docs/images, made from `data/example`: `python -m docs.screenshots`.

Needs the `dev` extra and a Chromium (Debian: `apt-get install chromium`).
"""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"


class Shot(NamedTuple):
    """`open_step`: a step that is opened first. `height` cuts the page; None takes the window's."""

    name: str
    path: str
    width: int
    height: int
    dark: bool = False


SHOTS = (
    Shot("list", "/", 1280, 420),
    Shot("run", "/runs/example", 1280, 1500),
    Shot("run-dark", "/runs/example", 1280, 1500, dark=True),
    Shot("preference", "/runs/example/identity", 1280, 1250),
    Shot("preference-dark", "/runs/example/concise?prompt=compliance/heldout_prompts/3", 1280, 1250, dark=True),
    Shot("preference-narrow", "/runs/example/identity", 390, 1100),
)


@contextmanager
def served(results_dir: Path) -> Iterator[str]:
    """The address of a viewer of these results, while it is needed."""
    import uvicorn

    from claas_assets.viewer.app import build_app

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(results_dir), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium of this machine. Raises `RuntimeError` where there is none."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


def take(page: Any, shot: Shot, address: str, folder: Path) -> Path:
    page.goto(address + shot.path)
    page.wait_for_load_state("networkidle")
    path = folder / f"{shot.name}.png"
    page.screenshot(path=path)
    return path


def main() -> int:
    """Write the pictures; returns the exit code."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with served(ROOT / "data") as address, browser() as chromium:
        for shot in SHOTS:
            scheme = "dark" if shot.dark else "light"
            page = chromium.new_page(viewport={"width": shot.width, "height": shot.height}, color_scheme=scheme)
            print(take(page, shot, address, IMAGES).relative_to(ROOT))
            page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
