"""Jobs: what people start by name."""

import dagster as dg

PER_PREFERENCE = ("adapter", "baseline", "training_steps", "metric_table", "collapse_snapshots", "verdict")

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(*PER_PREFERENCE),
    description="One preference, from a fresh adapter to its verdict. In a folder that has steps it resumes.",
)
rescore = dg.define_asset_job(
    "rescore",
    selection=dg.AssetSelection.assets("metric_table", "collapse_snapshots", "verdict"),
    description="Tables, collapse series and verdict of one preference again, by today's verifiers and thresholds, "
    "from its files: no request to a deployment.",
)
report = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets("summary", "plots"),
    description="The summary and the plots of a run, from its files.",
)
summarize = dg.define_asset_job(
    "summarize",
    selection=dg.AssetSelection.assets("summary"),
    description="The summary alone (`plots: false`).",
)
