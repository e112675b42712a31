"""Runs that different versions scored, scored again from their answers, so that they may be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.metrics.scoring import rescore
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.records import ScoresRecord
from claas_assets.evaluation.verdict.ruling import judge


def scored_alike(runs: Sequence[PreferenceRun]) -> tuple[list[PreferenceRun], str | None]:
    """Runs of one preference by the same metrics and the same verifier, and what to say of it.

    As they are, and None, where they are alike already. Where they are not, or one was judged by the rules of
    0.1.0, all are scored by today's metrics and the verifier of the newest run; where that cannot be, they are as
    they were, and it is said why.
    """
    trained = [run for run in runs if run.baseline is not None and run.steps]
    if _are_alike(trained) and not any(map(_is_of_first_version, trained)):
        return list(runs), None
    newest = max(trained, key=lambda run: run.adapter.provenance.created).adapter
    why_not = next(filter(None, (_why_not(run, newest.preference_text) for run in trained)), None)
    if why_not is not None:
        return list(runs), f"not scored again: {why_not}"
    try:
        again = [_scored_again(run, newest.preference_text) if run in trained else run for run in runs]
    except (PreferenceError, ValidationError) as error:
        return list(runs), f"not scored again: the preference of run {newest.run_id} cannot be used: {error}"
    return again, f"scored again by today's metrics and the verifier of run {newest.run_id}"


def _are_alike(runs: Sequence[PreferenceRun]) -> bool:
    """Whether one verifier judged them, and each metric that several of them have in one version."""
    seen: dict[str, set[str]] = {}
    for run in runs:
        recorded = run.last.versions if run.last is not None else {}
        text = {key: run.adapter.preference_text.get(key) for key in ("version", "verifier")}
        for where, values in (("recorded", recorded), ("judged", run.verdict.versions), ("text", text)):
            for name, value in values.items():
                seen.setdefault(f"{where} {name}", set()).add(repr(value))
    return all(len(values) == 1 for values in seen.values())


def _is_of_first_version(run: PreferenceRun) -> bool:
    """Whether 0.1.0 judged or scored it: nothing in its files says then which answers obey."""
    return run.verdict.outcome is None or run.last is None or run.last.stats.degenerate is None


def _why_not(run: PreferenceRun, text: Mapping[str, Any]) -> str | None:
    where = f"run {run.adapter.run_id}"
    if run.adapter.sequence is not None:
        return f"{where} is of a sequence, which `claas-eval rescore` scores again"
    if run.adapter.imported:
        return f"{where} was imported from the public harness"
    if run.baseline is None or not run.baseline.rollouts or not run.steps[-1].eval.rollouts:
        return f"the answers of {where} are not at hand"
    foreign = [target for target in _targets(text.get("verifier")) if not _is_shipped(target)]
    if foreign:
        return f"{foreign[0]} is not a verifier of this package, and a file must not decide what is imported"
    return None


def _targets(spec: Any) -> list[str]:
    """Every `_target_` of a verifier, and of those within it."""
    if isinstance(spec, Mapping):
        own = [str(spec["_target_"])] if "_target_" in spec else []
        return own + [target for part in spec.values() for target in _targets(part)]
    return [target for part in spec for target in _targets(part)] if isinstance(spec, list | tuple) else []


def _is_shipped(target: str) -> bool:
    return "." not in target or target.startswith("claas_assets.evaluation.")


def _scored_again(run: PreferenceRun, text: Mapping[str, Any]) -> PreferenceRun:
    """Its baseline and last state; the steps between them, which no comparison reads, keep their scores."""
    assert run.baseline is not None
    own = {**run.adapter.preference_text, "verifier": text.get("verifier"), "version": text.get("version", 1)}
    if _prompts(own) == _prompts(text):
        own["over_application"] = text.get("over_application", ())
    adapter, asked = run.adapter.model_copy(update={"preference_text": own}), Preference.model_validate(own)
    baseline, (last,) = rescore(run.baseline, run.steps[-1:], {asked.name: asked}, adapter.metrics)
    steps = [*run.steps[:-1], last]
    thresholds = Thresholds.recorded(adapter.config.get("thresholds", {}))
    verdict = judge(ScoresRecord.of(adapter, baseline, steps), thresholds)
    changed = {"adapter": adapter, "baseline": baseline, "steps": steps, "verdict": verdict, "table": None}
    return run.model_copy(update=changed)


def _prompts(text: Mapping[str, Any]) -> list[Any]:
    return [item.get("prompt") for item in text.get("over_application", ()) if isinstance(item, Mapping)]
