"""The list: filtered, sorted and cut into pages on the server, so that all runs take part and no script is needed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

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
    "verdict": "Verdict",
    "change": "Change in obedience",
    "alerts": "Alerts",
}


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


def make_listing(runs: list[RunOverview], query: Query) -> Listing:
    """Runs keep only the preferences that match; a run whose preferences all fail to is left out.

    A page beyond the last one is the last one.
    """
    matching = [match for run in runs if (match := _matching(run, query.q.lower().split())) is not None]
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
    )


def _matching(run: RunOverview, words: list[str]) -> RunOverview | None:
    if not words:
        return run
    own = " ".join((run.run_id, run.created or "", run.deployment, run.mode, run.model, run.sweep_id or "")).lower()
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
