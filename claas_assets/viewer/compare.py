"""Runs side by side as a page: what may be compared, what differs, and the answers of the prompts that flipped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from claas_assets.evaluation.comparison import csv_table as comparison_csv
from claas_assets.evaluation.comparison.comparability import EVERY, Obstacle
from claas_assets.evaluation.comparison.comparison import Comparison, PreferenceComparison, compare
from claas_assets.evaluation.comparison.pairing import Flip, Pair
from claas_assets.evaluation.runs.frames import LoadedRun
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.runs.overview import RunOverview
from claas_assets.viewer.answers import Side, side_of, transcripts_below
from claas_assets.viewer.templating import render
from claas_assets.viewer.word_difference import Difference, word_difference

MAX_RUNS = 8
FLIPS_SHOWN = 60  # with both answers, on a page; a page of eight runs that share no answer would have 420 and more


@dataclass(frozen=True)
class RunSide:
    """An answer of one run; `whole` is the page of the uncut text."""

    side: Side
    whole: str | None


@dataclass(frozen=True)
class ShownFlip:
    prompt: str
    reference: RunSide
    run: RunSide
    difference: Difference | None


@dataclass(frozen=True)
class ShownPair:
    """`flips` are the first ones, `further` how many more there are."""

    pair: Pair
    flips: list[ShownFlip]
    further: int
    alone: str  # the query of a page of these two runs

    @property
    def only_run(self) -> int:
        return sum(flip.run.passed for flip in self.pair.flips or [])

    @property
    def only_reference(self) -> int:
        return sum(flip.reference.passed for flip in self.pair.flips or [])

    @property
    def blocked(self) -> set[str]:
        return {name for obstacle in self.pair.obstacles for name in obstacle.criteria}


@dataclass(frozen=True)
class Forbidden:
    """An obstacle between two runs, with every preference that it concerns."""

    run: str
    reference: str
    obstacle: Obstacle
    preferences: list[str]


def compare_page(
    base: str, overviews: Sequence[RunOverview], runs: Sequence[LoadedRun], broken: Mapping[str, str]
) -> str:
    """`overviews` of all runs asked for, `runs` those that could be read. A run alone is shown without a comparison."""
    found = compare(runs) if runs else None
    shown = {p.preference: _shown_pairs(base, p, runs) for p in found.preferences} if found else {}
    by_id = {overview.run_id: overview for overview in overviews}
    return render(
        "compare.html",
        base=base,
        query=_query([overview.run_id for overview in overviews]),
        columns=[by_id[run.run_id] for run in runs],
        found=found,
        broken=broken,
        forbidden=forbidden(found) if found else [],
        shown=shown,
        every=len(EVERY),
        blocked={name: {it.pair.run: it.blocked for it in pairs} for name, pairs in shown.items()},
    )


def compare_json(runs: Sequence[LoadedRun], broken: Mapping[str, str]) -> str:
    """Everything of the page and all flips. ASCII only: an answer may hold half of a surrogate pair."""
    told = compare(runs).model_dump(mode="json") if runs else Comparison(runs=[]).model_dump(mode="json")
    return json.dumps({**told, "broken": dict(broken)}, indent=2, ensure_ascii=True, allow_nan=False)


def compare_csv(runs: Sequence[LoadedRun]) -> str:
    return comparison_csv.of(compare(runs) if runs else Comparison(runs=[]))


def forbidden(comparison: Comparison) -> list[Forbidden]:
    """What stands between which runs, said once for all preferences that share it."""
    rows: dict[str, Forbidden] = {}
    for preference in comparison.preferences:
        for pair in preference.pairs:
            for obstacle in pair.obstacles:
                key = f"{pair.run} {pair.reference} {obstacle!r}"
                names = (comparison.runs[pair.run].run_id, comparison.runs[pair.reference].run_id)
                rows.setdefault(key, Forbidden(*names, obstacle, [])).preferences.append(preference.preference)
    return list(rows.values())


def _shown_pairs(base: str, preference: PreferenceComparison, runs: Sequence[LoadedRun]) -> list[ShownPair]:
    limit = max(3, FLIPS_SHOWN // max(1, len(preference.pairs)))
    return [_shown_pair(base, pair, preference.preference, runs, limit) for pair in preference.pairs]


def _shown_pair(base: str, pair: Pair, name: str, runs: Sequence[LoadedRun], limit: int) -> ShownPair:
    sides = runs[pair.reference], runs[pair.run]
    flips = pair.flips or []
    return ShownPair(
        pair=pair,
        flips=[_shown_flip(base, flip, pair.flips_of, name, sides) for flip in flips[:limit]],
        further=max(0, len(flips) - limit),
        alone=_query([run.run_id for run in sides]),
    )


def _shown_flip(base: str, flip: Flip, asked: str, name: str, sides: tuple[LoadedRun, LoadedRun]) -> ShownFlip:
    one = _side(base, sides[0], name, (asked, flip.prompt), flip.reference.passed)
    other = _side(base, sides[1], name, (asked, flip.prompt), flip.run.passed)
    before, after = one.side.answer, other.side.answer
    both = before is not None and after is not None
    return ShownFlip(flip.prompt, one, other, word_difference(before or "", after or "") if both else None)


def _side(base: str, run: LoadedRun, name: str, question: tuple[str, str], passed: bool) -> RunSide:
    preference, (asked, prompt) = run.preferences[name], question
    snapshot = preference.last
    below = transcripts_below(snapshot, f"compliance/{asked}")
    transcript = next((t for t in below if t.question == prompt), None)
    if snapshot is None or transcript is None:
        return RunSide(Side(answer=None, missing="its transcript is not recorded", passed=passed), None)
    return RunSide(side_of(snapshot, transcript), _whole(base, run.run_id, preference, transcript.key))


def _whole(base: str, run_id: str, preference: PreferenceRun, key: str) -> str:
    state = str(preference.steps[-1].step) if preference.steps else "baseline"
    return f"{base}/runs/{run_id}/{preference.adapter.preference}/states/{state}/whole?key={quote(key, safe='')}"


def _query(run_ids: Sequence[str]) -> str:
    return urlencode([("run", run_id) for run_id in run_ids])
