"""Each page as HTML, from a folder. What cannot be read is part of the page, never an error instead of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from claas_assets.evaluation.figures import asked_figures
from claas_assets.evaluation.runs.catalog import preference_names
from claas_assets.evaluation.runs.overview import RunOverview
from claas_assets.evaluation.storage.recorded_config import flat
from claas_assets.evaluation.storage.records import EvalSnapshot, VerdictRecord
from claas_assets.evaluation.verdict.metric_table import quantities_of
from claas_assets.viewer.answers import groups_of, whole_answer
from claas_assets.viewer.before_after import Pair, PromptSet, find_pair, prompt_sets
from claas_assets.viewer.compare import MAX_RUNS
from claas_assets.viewer.filters import FILTERS, find_answers
from claas_assets.viewer.listing import COLUMNS, HEADINGS, Listing, Query
from claas_assets.viewer.loading import PreferenceRecords, load_head, load_preference
from claas_assets.viewer.states import missing_in, state_table, version_notes
from claas_assets.viewer.svg import TITLES
from claas_assets.viewer.templating import render
from claas_assets.viewer.text import cut
from claas_assets.viewer.word_difference import word_difference


class NotThere(Exception):
    """What was asked for is not in the files; the message says what, for a 404."""


def list_page(base: str, listing: Listing, query: Query, place: str, *, linked: bool, part: bool) -> str:
    """`linked`: whether the pages of these runs are served here. `part`: the table alone."""
    template = "_list.html" if part else "list.html"
    token = token_of(listing.runs)
    return render(
        template, base=base, listing=listing, query=query, columns=COLUMNS, headings=HEADINGS, place=place,
        linked=linked, token=token, max_runs=MAX_RUNS,
    )  # fmt: skip


def run_page(base: str, folder: Path, overview: RunOverview) -> str:
    return render("run.html", base=base, **run_context(folder, overview))


def run_context(folder: Path, overview: RunOverview) -> dict[str, Any]:
    """What the page of a run and its report share."""
    heads = [load_head(folder / name) for name in _names(folder, overview)]
    missing, problems = missing_in(heads)
    return {
        "run": overview,
        "preferences": heads,
        "judged": judged(heads, overview),
        "criteria": list(dict.fromkeys(name for r in heads if r.verdict for name in r.verdict.criteria)),
        "missing": missing,
        "problems": [*(f"{r.name}: {problem}" for r in heads for problem in r.problems), *problems],
        "notes": {r.name: version_notes(r.verdict, None) for r in heads},
        "config": _configuration(heads),
        "figures": {name: title for name, title in TITLES.items() if name in asked_figures(_metrics(heads))},
        "token": token_of([overview]),
    }


def preference_page(base: str, folder: Path, overview: RunOverview, key: str | None) -> str:
    records = load_preference(folder)
    sets = prompt_sets(records)
    return render(
        "preference.html",
        base=base,
        run=overview,
        records=records,
        verdict=judged([records], overview).get(records.name),
        sets=sets,
        shown=comparison(sets, key),
        filters=FILTERS,
        table=state_table(records),
        notes=version_notes(records.verdict, records.steps[-1].eval if records.steps else None),
        token=token_of([overview]),
    )


def compare_part(base: str, folder: Path, key: str | None) -> str:
    sets = prompt_sets(load_preference(folder))
    here = f"{base}/runs/{folder.parent.name}/{folder.name}"
    return render("_before_after.html", here=here, sets=sets, shown=comparison(sets, key))


def answers_page(base: str, folder: Path, show: str, key: str | None, page: int) -> str:
    """Every answer that `show` names, of all prompts or of one. Raises `NotThere`."""
    if show not in FILTERS:
        raise NotThere(f"There is no such filter: {', '.join(FILTERS)} are.")
    records = load_preference(folder)
    found = find_answers(records, show, key, page)
    return render(
        "answers.html", base=base, run_id=folder.parent.name, records=records, filters=FILTERS, show=show, key=key,
        found=found,
    )  # fmt: skip


def state_page(base: str, folder: Path, name: str, *, part: bool) -> str:
    """Everything of one state. Raises `NotThere`."""
    records = load_preference(folder)
    snapshot, step = _state(records, name), records.step(name)
    return render(
        "_state.html" if part else "state.html",
        base=base,
        here=f"{base}/runs/{folder.parent.name}/{folder.name}",
        run_id=folder.parent.name,
        records=records,
        state=name,
        snapshot=snapshot,
        step=step,
        title="Baseline" if step is None else f"After {step.step + 1} feedback step{'s'[: step.step > 0]}",
        engine=_engine_rows(step.engine, step.feedback_calls) if step else None,
        quantities=quantities_of(snapshot),
        groups=groups_of(snapshot),
        batch=[(rollout, cut(rollout.response)) for rollout in step.rollout_batch] if step else [],
    )


def whole_text(folder: Path, state: str, key: str) -> str:
    """An answer, uncut and not as HTML. Raises `NotThere`."""
    records = load_preference(folder)
    text = whole_answer(_state(records, state), records.step(state), key)
    if text is None:
        raise NotThere("There is no answer with this key in this state.")
    return text


def error_page(base: str, status: int, message: str) -> str:
    return render("error.html", base=base, status=status, message=message)


def token_of(runs: list[RunOverview]) -> str:
    """Changes when anything that is shown of these runs does."""
    told = json.dumps([asdict(run) | {"age": 0} for run in runs], default=str, sort_keys=True)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# --- parts ------------------------------------------------------------------------------------


def comparison(sets: list[PromptSet], key: str | None) -> dict[str, Any] | None:
    """The pair to show with its neighbors. Raises `NotThere` for a key that was not asked."""
    found = find_pair(sets, key)
    if found is None:
        if key is not None:
            raise NotThere("This prompt was not asked in this evaluation.")
        return None
    prompts, pair = found
    at = prompts.pairs.index(pair)
    return {
        "set": prompts,
        "pair": pair,
        "place": at + 1,
        "previous": prompts.pairs[at - 1] if at else None,
        "next": prompts.pairs[at + 1] if at + 1 < len(prompts.pairs) else None,
        "difference": difference(pair),
    }


def difference(pair: Pair) -> Any:
    """The word difference, where there are two answers."""
    if pair.before is None or pair.after is None or pair.before.answer is None or pair.after.answer is None:
        return None
    return word_difference(pair.before.answer, pair.after.answer)


def judged(preferences: list[PreferenceRecords], overview: RunOverview) -> dict[str, VerdictRecord]:
    """The verdicts that hold: not those of fewer steps than are recorded by now."""
    current = {p.name for p in overview.preferences if p.overall is not None}
    return {r.name: r.verdict for r in preferences if r.verdict is not None and r.name in current}


def _metrics(preferences: list[PreferenceRecords]) -> set[str]:
    """Names of the metrics that were asked for; a configuration without a list of them has problems of its own."""
    listed = [record.adapter.config.get("metrics") for record in preferences if record.adapter is not None]
    return {str(name) for names in listed if isinstance(names, list) for name in names}


def _names(folder: Path, overview: RunOverview) -> list[str]:
    there = set(preference_names(folder))
    return [p.name for p in overview.preferences if p.name in there]


def _configuration(preferences: list[PreferenceRecords]) -> dict[str, dict[str, Any]]:
    """Title → key → value, the first preference's where they agree, else one by one."""
    adapters = [r.adapter for r in preferences if r.adapter is not None]
    if not adapters:
        return {}
    configs = [flat(adapter.config) for adapter in adapters]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    told: dict[str, Any] = {}
    for key in keys:
        values = [config.get(key) for config in configs]
        same = all(value == values[0] for value in values)
        told[key] = values[0] if same else {a.preference: v for a, v in zip(adapters, values, strict=True)}
    first = adapters[0].provenance.model_dump(mode="json")
    return {
        "Configuration": told,
        "Adapters": {adapter.preference: adapter.lora_id for adapter in adapters},
        "Feedback": {r.name: r.feedback for r in preferences if r.adapter is not None},
        "Provenance": flat(first),
    }


def _engine_rows(metrics: Mapping[str, Any] | None, calls: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The engine's numbers: of the step, then of each gradient update where it told them."""
    told = [call.get("per_step_metrics") for call in calls]
    updates = [u for updates in told if isinstance(updates, list) for u in updates if isinstance(u, Mapping)]
    names = dict.fromkeys([*(metrics or {}), *(name for update in updates for name in update)])
    return {name: [(metrics or {}).get(name), *(update.get(name) for update in updates)] for name in names}


def _state(records: PreferenceRecords, name: str) -> EvalSnapshot:
    snapshot = records.state(name)
    if snapshot is None:
        raise NotThere(f"{records.name} has no such state: baseline, or a step's number from 0 on.")
    return snapshot
