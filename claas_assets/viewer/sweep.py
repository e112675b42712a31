"""A sweep as a page: its recipes over their seeds, one criterion in detail, and the dose-response figure."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from markupsafe import Markup

from claas_assets.evaluation.comparison.sweeps import (
    CLAIM_SEEDS,
    Recipe,
    SweepComparison,
    group_seeds,
    in_order,
    swept_values,
)
from claas_assets.evaluation.runs.frames import LoadedRun
from claas_assets.viewer.compare import MAX_RUNS
from claas_assets.viewer.svg import dose_response_svg
from claas_assets.viewer.templating import render


class NotOfThisSweep(Exception):
    """A criterion or a swept key that was asked for and is not there; the message names those that are."""


def sweep_page(
    base: str, sweep_id: str, runs: Sequence[LoadedRun], broken: Mapping[str, str], asked: Mapping[str, str | None]
) -> str:
    """`asked`: the `criterion` in detail and the swept key on the `x` axis; None for either: the page's choice."""
    sweep = group_seeds(runs, sweep_id) if runs else SweepComparison(sweep_id=sweep_id, swept=[], preferences=[])
    known = criteria_of(sweep)
    criterion = _chosen("criterion", asked.get("criterion"), known, "obeyed")
    key = _chosen("x", asked.get("x"), sweep.swept, None)
    picture, no_picture = _figure(sweep, criterion, key)
    values = swept_values(sweep)
    return render(
        "sweep.html",
        base=base,
        sweep=sweep,
        broken=broken,
        runs=len(runs) + len(broken),
        known=known,
        criterion=criterion,
        key=key or max(values, key=lambda name: len(values[name]), default=None),
        claim_seeds=CLAIM_SEEDS,
        compare_link=lambda recipe: compare_link(base, recipe),
        left_out=left_out,
        picture=picture,
        no_picture=no_picture,
    )


def criteria_of(sweep: SweepComparison) -> list[str]:
    """The criteria that some recipe has, in the order of the verdict's table."""
    there = {name for preference in sweep.preferences for recipe in preference.recipes for name in recipe.criteria}
    return in_order(sorted(there))


def compare_link(base: str, recipe: Recipe) -> str | None:
    """The runs of a recipe side by side, where there are as many as that page takes."""
    if not 2 <= len(recipe.runs) <= MAX_RUNS:
        return None
    return f"{base}/compare?{urlencode([('run', run_id) for run_id in recipe.runs])}"


def left_out(recipes: Sequence[Recipe], criterion: str) -> dict[str, str]:
    """Run id → why its value is in no mean of this criterion."""
    means = [recipe.criteria[criterion] for recipe in recipes if criterion in recipe.criteria]
    return {run_id: why for mean in means for run_id, why in mean.left_out.items()}


def _chosen(name: str, asked: str | None, known: Sequence[str], usual: str | None) -> str | None:
    if not asked:
        return usual if usual in known else (known[0] if known and usual else None)
    if asked not in known:
        raise NotOfThisSweep(f"{name}={asked}: not of this sweep, which has {', '.join(known) or 'none'}.")
    return asked


def _figure(sweep: SweepComparison, criterion: str | None, key: str | None) -> tuple[Markup, str]:
    """The picture; or an empty one, and why there is none."""
    if criterion is None:
        return Markup(), "no run of this sweep has a criterion yet"
    if not sweep.swept:
        return Markup(), "nothing but the seed differs between these runs, so there is no dose"
    return Markup(dose_response_svg(sweep, criterion, key)), ""
