"""The arena of each case, and the matrix of what passed at the end of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from claas_assets.evaluation.run_files import read_steps
from tests.faults.arena import PROFILES, Arena, arena_in, fake_of

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


@pytest.fixture
def arena(request: pytest.FixtureRequest, tmp_path) -> Iterator[Arena]:
    """Of the test's `profile` (its name)."""
    profile = PROFILES[request.getfixturevalue("profile")]
    with fake_of(profile) as fake:
        yield arena_in(tmp_path, profile, fake)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[float | None]]:
    """`undisturbed(profile)`: the margin of each step of an evaluation without faults."""
    known: dict[str, list[float | None]] = {}

    def of(profile: str) -> list[float | None]:
        if profile not in known:
            with fake_of(PROFILES[profile]) as fake:
                quiet = arena_in(tmp_path_factory.mktemp("undisturbed"), PROFILES[profile], fake)
                assert quiet.run()
                margins = [record.eval.logprob_margin for record in read_steps(quiet.job.folder).steps]
                known[profile] = [margin.margin if margin else None for margin in margins]
                assert len(set(known[profile])) == len(margins), "steps whose margins do not tell them apart"
        return known[profile]

    return of


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
