"""A comparison as a tidy CSV: one row a run (or a recipe) and criterion. No model output is in it."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from claas_assets.evaluation.comparison.comparison import Comparison, PreferenceComparison
from claas_assets.evaluation.comparison.pairing import PairedDifference
from claas_assets.evaluation.comparison.sweeps import Recipe, SweepComparison
from claas_assets.evaluation.storage.records import Criterion, Interval
from claas_assets.evaluation.terminal_text import one_line

RUN_COLUMNS = (
    "preference", "criterion", "run_id", "overall", "outcome", "value", "baseline", "change", "lower", "upper", "n",
    "grade", "evidence", "reason", "reference", "difference", "difference_lower", "difference_upper", "difference_n",
    "difference_evidence", "difference_reason",
)  # fmt: skip
RECIPE_COLUMNS = (
    "preference", "criterion", "recipe", "seeds", "mean", "lower", "upper", "claim", "seed", "value", "runs",
    "not_comparable",
)  # fmt: skip


def of(result: Comparison | SweepComparison) -> str:
    """The rows, with a header. A recipe has a row for each of its seeds, and one without where it has none."""
    if isinstance(result, Comparison):
        return _text(RUN_COLUMNS, (row for preference in result.preferences for row in _run_rows(result, preference)))
    rows = (
        row
        for preference in result.preferences
        for recipe in preference.recipes
        for row in _recipe_rows(preference.preference, recipe)
    )
    return _text((*RECIPE_COLUMNS, *(f"config.{key}" for key in result.swept)), rows)


def _run_rows(comparison: Comparison, preference: PreferenceComparison) -> Iterator[dict[str, Any]]:
    pairs = {pair.run: pair for pair in preference.pairs}
    for row in preference.rows:
        for index, criterion in enumerate(row.cells):
            if criterion is None:
                continue
            pair = pairs.get(index)
            yield {
                "preference": preference.preference,
                "criterion": row.criterion,
                "run_id": comparison.runs[index].run_id,
                "overall": preference.overall[index],
                "outcome": preference.outcomes[index] if preference.outcomes else None,
                **_criterion(criterion),
                "reference": comparison.runs[pair.reference].run_id if pair else None,
                **_difference(pair.differences.get(row.criterion) if pair else None),
            }


def _criterion(criterion: Criterion) -> dict[str, Any]:
    fields = ("value", "baseline", "change", "n", "grade", "evidence", "reason")
    return {**{name: getattr(criterion, name) for name in fields}, **_edges(criterion.interval)}


def _difference(difference: PairedDifference | None) -> dict[str, Any]:
    if difference is None:
        return {}
    edges = {f"difference_{name}": value for name, value in _edges(difference.interval).items()}
    told = {f"difference_{name}": getattr(difference, name) for name in ("n", "evidence", "reason")}
    return {"difference": difference.change, **edges, **told}


def _recipe_rows(preference: str, recipe: Recipe) -> Iterator[dict[str, Any]]:
    told = {"preference": preference, "recipe": recipe.label, **_settings(recipe)}
    told["not_comparable"] = "; ".join(obstacle.sentence for obstacle in recipe.obstacles)
    for name, mean in recipe.criteria.items():
        numbers = {"seeds": len(mean.seeds), "mean": mean.mean, "claim": mean.claim, **_edges(mean.interval)}
        row = {**told, "criterion": name, **numbers}
        for seed in mean.seeds:
            yield {**row, "seed": seed.seed, "value": seed.value, "runs": " ".join(seed.runs)}
        if not mean.seeds:
            yield row


def _settings(recipe: Recipe) -> dict[str, Any]:
    return {f"config.{key}": value for key, value in recipe.settings.items()}


def _edges(interval: Interval | None) -> dict[str, Any]:
    return {"lower": interval.lower, "upper": interval.upper} if interval is not None else {}


def _text(columns: tuple[str, ...], rows: Iterator[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """Texts on one line, and not as a spreadsheet's formula: reasons quote servers."""
    if value is None or isinstance(value, int | float):
        return value
    text = one_line(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
