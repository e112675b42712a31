"""The one direction of imports: defs → evaluation → wire ← stack."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import claas_assets

PACKAGE = Path(claas_assets.__file__).parent
FORBIDDEN = {
    "wire.py": ("claas_assets", "dagster", "torch", "hydra"),
    "evaluation": ("dagster", "torch", "fastapi", "hydra", "claas_assets.stack", "claas_assets.defs",
                   "claas_assets.cli", "claas_assets.launch.evaluation", "claas_assets.definitions"),
    "stack": ("dagster", "hydra", "claas_assets.evaluation", "claas_assets.defs", "claas_assets.cli",
              "claas_assets.launch.evaluation", "claas_assets.definitions"),
    "viewer": ("dagster", "torch", "hydra", "claas_assets.defs", "claas_assets.stack", "claas_assets.cli",
               "claas_assets.launch.evaluation", "claas_assets.definitions"),
    "defs": ("torch", "hydra", "claas_assets.cli", "claas_assets.launch.evaluation", "claas_assets.definitions"),
}  # fmt: skip


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_what_is_above_it(room):
    place = PACKAGE / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files
        for name in imported_names(file)
        for forbidden in FORBIDDEN[room]
        if name == forbidden or name.startswith(f"{forbidden}.")
    ]
    assert wrong == []


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
