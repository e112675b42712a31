"""What stands beside an asset in the UI: who owns it, where its code is, and from when on it is late."""

import os
import warnings
from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from claas_assets.defs.schedules import CRON_VARIABLE

OWNERS_VARIABLE = "CLAAS_OWNERS"
"""Of this installation, separated by commas: `team:evals,ada@example.org`. Nobody else can know them."""

_LATE = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))


def with_upkeep(assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets with their source lines, the owners that the environment names, and a bound on the summary's age.

    The bound is there where `CLAAS_NIGHTLY_CRON` is set: who sets it wants an evaluation a night, and elsewhere an
    old summary is not late.
    """
    owners = [name.strip() for name in os.environ.get(OWNERS_VARIABLE, "").split(",") if name.strip()]
    nightly = bool(os.environ.get(CRON_VARIABLE))

    def kept_up(spec: dg.AssetSpec) -> dg.AssetSpec:
        spec = spec.replace_attributes(owners=owners)
        is_nightly = nightly and spec.key.to_user_string() == "summary"
        return dg.apply_freshness_policy(spec, _LATE) if is_nightly else spec

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of code references; the version is pinned
        located = dg.with_source_code_references(assets)
    return [asset.map_asset_specs(kept_up) for asset in located]  # type: ignore[union-attr]
