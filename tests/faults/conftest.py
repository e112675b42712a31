"""The arena of each case, and the matrix of what passed at the end of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.faults.arena import PROFILES, Arena, Undisturbed, arena_in, fake_of, run_undisturbed

CELL = "cell of the fault matrix"
BOUNDARIES = (
    "before rollouts",
    "during rollouts",
    "before feedback",
    "feedback unanswered",
    "feedback answered",
    "during probes",
    "while appending",
)
FAULTS = (
    "SIGKILL", "SIGINT", "death", "409", "500", "503", "time-out", "malformed", "truncated", "null", "ENOSPC",
)  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Undisturbed]:
    """`undisturbed(profile, partition)`, run once."""

    def run(profile: str, partition: str) -> Undisturbed:
        return run_undisturbed(tmp_path_factory.mktemp("undisturbed"), PROFILES[profile], partition)

    return cache(run)


@pytest.fixture
def partition() -> str:
    """What is evaluated: a preference alone, or the sequence `course`."""
    return "small"


@pytest.fixture
def arena(request: pytest.FixtureRequest, tmp_path, undisturbed, partition) -> Iterator[Arena]:
    """Of the test's `profile` (its name)."""
    name = request.getfixturevalue("profile")
    with fake_of(PROFILES[name]) as fake:
        made = arena_in(tmp_path, PROFILES[name], fake, partition)
        made.begin_from(undisturbed(name, partition))
        yield made


@pytest.fixture(autouse=True)
def _in_the_matrix(request: pytest.FixtureRequest) -> None:
    """A test with a `case` (with a boundary and a fault) is a cell of the matrix."""
    if "case" in request.fixturenames:
        case = request.getfixturevalue("case")
        assert case.boundary in BOUNDARIES
        assert case.fault in FAULTS
        request.node.user_properties.append((CELL, (case.boundary, case.fault)))


def pytest_terminal_summary(terminalreporter) -> None:
    """Rows: where in a step; columns: what happened; a cell: passed/total (x: failures that are known)."""
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in ("passed", "failed", "error", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, cell in getattr(report, "user_properties", ()):
                if name == CELL:
                    cells[tuple(cell)].append(outcome)
    if not cells:
        return
    terminalreporter.section("fault matrix (passed/total)")
    terminalreporter.write_line(" " * 20 + "".join(f"{fault:>10}" for fault in FAULTS))
    for boundary in BOUNDARIES:
        shown = "".join(f"{_cell(cells.get((boundary, fault), [])):>10}" for fault in FAULTS)
        terminalreporter.write_line(f"{boundary:<20}{shown}")
    outcomes = [outcome for found in cells.values() for outcome in found]
    known = f", {outcomes.count('xfailed')} known failures" if "xfailed" in outcomes else ""
    terminalreporter.write_line(f"{outcomes.count('passed')}/{len(outcomes)} passed{known}")


def _cell(outcomes: list[str]) -> str:
    if not outcomes:
        return "·"
    return f"{outcomes.count('passed')}/{len(outcomes)}" + ("x" if "xfailed" in outcomes else "")
