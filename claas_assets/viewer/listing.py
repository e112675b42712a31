"""The list: filtered, sorted and cut into pages on the server, so that all runs take part and no script is needed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from claas_assets.evaluation.comparison.sweeps import NOT_THE_RECIPE
from claas_assets.evaluation.runs.overview import PreferenceOverview, RunOverview

PER_PAGE = 50
_ORDER = {"fail": 0, "inconclusive": 1, "marginal": 2, "pass": 3}
_STATES = {"running": 0, "broken": 1, "interrupted": 2, "waiting": 3, "complete": 4}

COLUMNS = {
    "run": "Run",
    "created": "Begun (UTC)",
    "deployment": "Deployment",
    "model": "Model",
    "state": "State",
    "preference": "Preference",
    "verdict": "Outcome",
    "change": "Change in obedience",
    "alerts": "Alerts",
}
"""Sort key → heading."""

HEADINGS = (
    ("run", "created"), ("model", "deployment"), ("state",), ("preference",), ("verdict",), ("change",), ("alerts",),
)  # fmt: skip
"""The columns of the table: what stands in one of them can be sorted by, each."""


@dataclass(frozen=True)
class Query:
    """What a reader asked for. `sort` begins with "-" for descending."""

    q: str = ""
    sort: str = "-created"
    page: int = 1
    per_page: int = PER_PAGE
    results_dir: str | None = None

    def link(self, **changes: Any) -> str:
        """The query string with some of it changed."""
        now = replace(self, **changes)
        default = Query()
        pairs = {name: value for name, value in vars(now).items() if value != getattr(default, name)}
        return f"?{urlencode(pairs)}"

    def sort_link(self, column: str) -> str:
        return self.link(sort=f"-{column}" if self.sort == column else column, page=1)

    def order_of(self, column: str) -> str:
        """For `aria-sort`."""
        if self.sort.removeprefix("-") != column:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"


@dataclass(frozen=True)
class Listing:
    runs: list[RunOverview]
    total: int
    matching: int
    page: int
    pages: int
    running: bool
    settings: dict[str, str]
    """Run id → its seed, and what its sweep swept: "seed=1 learning_rate=0.0001"."""


def make_listing(runs: list[RunOverview], query: Query) -> Listing:
    """Runs keep only the preferences that match; a run whose preferences all fail to is left out.

    A page beyond the last one is the last one.
    """
    settings = _told_settings(runs)
    words = query.q.lower().split()
    matching = [match for run in runs if (match := _matching(run, words, settings[run.run_id])) is not None]
    key = _KEYS.get(query.sort.removeprefix("-"), _KEYS["created"])
    matching.sort(key=key, reverse=query.sort.startswith("-"))
    pages = max(1, math.ceil(len(matching) / query.per_page))
    page = min(query.page, pages)
    first = (page - 1) * query.per_page
    return Listing(
        runs=matching[first : first + query.per_page],
        total=len(runs),
        matching=len(matching),
        page=page,
        pages=pages,
        running=any(run.state == "running" for run in runs),
        settings=settings,
    )


def _told_settings(runs: list[RunOverview]) -> dict[str, str]:
    """By run id. What differs is looked for in the whole sweep, not on one page of the list."""
    sweeps: dict[str, dict[str, set[str]]] = {}
    for run in runs:
        values = sweeps.setdefault(run.sweep_id or "", {})
        for key, value in run.settings:
            values.setdefault(key, set()).add(value)
    return {run.run_id: _told(run, sweeps[run.sweep_id or ""]) for run in runs}


def _told(run: RunOverview, of_sweep: dict[str, set[str]]) -> str:
    told = {key: value for key, value in run.settings if key == "seed"}
    if run.sweep_id is not None:
        told |= {k: v for k, v in run.settings if k not in NOT_THE_RECIPE and len(of_sweep[k]) > 1}
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in told.items())


def _matching(run: RunOverview, words: list[str], settings: str) -> RunOverview | None:
    if not words:
        return run
    told = (run.run_id, run.created or "", run.deployment, run.mode, run.model, run.sweep_id or "", settings)
    own = " ".join(told).lower()
    kept = tuple(p for p in run.preferences if all(word in own or word in _text(p) for word in words))
    return replace(run, preferences=kept) if kept else None


def _text(preference: PreferenceOverview) -> str:
    alerts = "alert" if preference.alerts else ""
    verdict = f"{preference.overall or ''} {preference.outcome or ''}"
    return f"{preference.name} {verdict} {preference.state} {preference.words} {alerts}".lower()


def _worst(run: RunOverview) -> int:
    return min((_ORDER.get(p.overall or "", 4) for p in run.preferences), default=4)


def _change(run: RunOverview) -> float:
    return max((p.change for p in run.preferences if p.change is not None), default=-math.inf)


_KEYS: dict[str, Callable[[RunOverview], Any]] = {
    "run": lambda run: run.run_id,
    "created": lambda run: (run.age, run.run_id),
    "deployment": lambda run: (run.mode, run.deployment),
    "model": lambda run: run.model,
    "state": lambda run: _STATES[run.state],
    "preference": lambda run: [p.name for p in run.preferences],
    "verdict": _worst,
    "change": _change,
    "alerts": lambda run: sum(len(p.alerts) for p in run.preferences),
}
