"""The rooms of the package, and the arrows between them: all that a room may import, and nothing above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import claas_assets

PACKAGE = Path(claas_assets.__file__).parent

# room: the rooms that its files import, the lowest room first. A folder, or the files that `FILES` names.
ARROWS = {
    "wire":        "",
    "words":       "",
    "sandbox":     "",
    "storage":     "words",
    "preferences": "words wire sandbox storage",
    "metrics":     "words sandbox storage preferences",
    "config":      "words storage metrics",
    "deployment":  "words wire config metrics",
    "judge":       "words wire storage preferences",
    "training":    "words wire config storage preferences judge metrics deployment",
    "check":       "words wire config preferences metrics deployment training",
    "verdict":     "config storage metrics",
    "figures":     "storage metrics",
    "runs":        "words config storage preferences metrics verdict figures",
    "comparison":  "words storage metrics verdict figures runs",
    "viewer":      "words storage preferences metrics verdict figures runs comparison",
    "stack":       "wire viewer",
    "defs":        "words config storage preferences deployment training check verdict figures runs viewer stack",
    "definitions": "config defs",
    "launch":      "words config storage preferences judge deployment check defs",
    "cli":         "words wire config storage preferences judge deployment training verdict runs comparison "
                   "viewer launch",
    "front":       "config runs launch cli",
}  # fmt: skip

FILES = {
    "words": ["evaluation/__init__.py", "evaluation/errors.py", "evaluation/progress.py",
              "evaluation/terminal_text.py", "evaluation/lock_folder.py", "evaluation/foreign_json.py",
              "evaluation/http_bodies.py", "evaluation/mistakes.py"],
    "config": ["evaluation/config.py", "evaluation/config_files.py", "configs/__init__.py"],
    "front": ["__init__.py", "__main__.py"],
}  # fmt: skip

# An arrow that only some of a room's files may draw: the stack serves the viewer's pages at /v1/eval, else nothing.
ONLY_FROM = {("stack", "viewer"): {"stack/__main__.py"}}

# Libraries that a room never imports, not even in a function.
EVALUATION = ["sandbox", "storage", "preferences", "judge", "metrics", "config", "deployment", "training", "check",
              "verdict", "figures", "runs", "comparison", "words"]  # fmt: skip
BANNED = {
    **{room: {"dagster", "torch", "fastapi", "hydra"} for room in EVALUATION},
    "wire": {"dagster", "torch", "fastapi", "hydra", "httpx"},
    "stack": {"dagster", "hydra"},
    "viewer": {"dagster", "torch", "hydra"},
    "defs": {"torch", "hydra"},
    "definitions": {"torch", "hydra"},
    "launch": {"torch"},
    "cli": {"torch"},
}


def room_of(path: Path) -> str:
    """The room of a file, named by its path from the package, or of the file or folder that an import names."""
    for room, files in FILES.items():
        if str(path) in files or f"{path}.py" in files:
            return room
    parts = path.parts[1:] if path.parts[0] == "evaluation" else path.parts
    return parts[0].removesuffix(".py") if parts else "evaluation"


@cache
def imports_of(file: Path) -> list[str]:
    """The dotted names that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import hides its room"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def target_of(name: str) -> str | None:
    """The room that an import leads to; None for a library, and for the package's own version."""
    package, *parts = name.split(".")
    if package != "claas_assets" or parts in ([], ["__version__"]):
        return None
    return room_of(Path(*parts[:2])) if parts[0] == "evaluation" else room_of(Path(parts[0]))


def arrows() -> Iterator[tuple[str, str, str]]:
    """(file, its room, the room that it imports), for every import that leaves a room."""
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE)
        for name in imports_of(file):
            target = target_of(name)
            if target not in (None, room_of(path)):
                yield str(path), room_of(path), str(target)


def test_every_file_has_a_room_and_every_room_a_file():
    assert {room_of(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py")} == set(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_what_the_table_says(room):
    drawn = [(file, target) for file, source, target in arrows() if source == room]
    allowed = set(ARROWS[room].split())

    assert [f"{file} imports {target}" for file, target in drawn if target not in allowed] == []
    assert allowed - {target for _, target in drawn} == set(), "the table allows what nothing needs"


def test_there_is_no_cycle_and_the_table_is_in_order():
    list(TopologicalSorter({room: allowed.split() for room, allowed in ARROWS.items()}).static_order())
    order = list(ARROWS)
    for room, allowed in ARROWS.items():
        below = [order.index(target) for target in allowed.split()]
        assert max(below, default=-1) < order.index(room), f"{room} imports what stands below it in the table"


def test_an_arrow_of_one_purpose_is_drawn_where_that_purpose_is():
    for arrow, files in ONLY_FROM.items():
        assert {file for file, *drawn in arrows() if tuple(drawn) == arrow} <= files


@pytest.mark.parametrize("room", BANNED)
def test_a_room_does_without_the_libraries_of_other_rooms(room):
    files = [file for file in PACKAGE.rglob("*.py") if room_of(file.relative_to(PACKAGE)) == room]
    assert files
    wrong = [(file.name, name) for file in files for name in imports_of(file) if name.split(".")[0] in BANNED[room]]
    assert wrong == []


def test_the_package_needs_no_test_and_the_tests_need_no_benchmark_and_no_picture_of_the_docs():
    tests = Path(__file__).parent
    files = {file: {"tests", "benchmarks", "docs"} for file in PACKAGE.rglob("*.py")}
    files |= {file: {"benchmarks", "docs"} for file in tests.rglob("*.py")}
    assert [(file.name, name) for file in files for name in imports_of(file) if name.split(".")[0] in files[file]] == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("claas_assets", ["pydantic", "dagster", "torch"]),
        ("claas_assets.definitions", ["torch", "transformers", "matplotlib", "scipy"]),
        ("claas_assets.cli.view", ["torch", "dagster", "matplotlib", "fastapi", "hydra"]),
        ("claas_assets.viewer.app", ["torch", "dagster", "matplotlib", "scipy"]),
        ("claas_assets.stack.supervise", ["torch", "transformers", "dagster"]),
    ],
)
def test_importing_a_module_does_not_load_what_it_does_not_use_yet(module, heavy):
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
