"""Jobs: what people start by name. None has the name of an asset, whose step has it already."""

import dagster as dg

SCORED = ("scores", "metric_table", "collapse_snapshots", "verdict")
PER_PREFERENCE = ("adapter", "baseline", "training_steps", *SCORED)

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(*PER_PREFERENCE),
    description="One preference, from a fresh adapter to its verdict. In a folder that has steps it resumes.",
)
rescore = dg.define_asset_job(
    "rescore",
    selection=dg.AssetSelection.assets(*SCORED),
    description="The scores, tables and verdict of one preference again, from its files, by today's verifiers and "
    "bounds.",
)
publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("summary", "plots", "report"),
    description="The summary, the plots and the report of a run, from its files.",
)
summarize = dg.define_asset_job(
    "summarize",
    selection=dg.AssetSelection.assets("summary"),
    description="The summary alone (`plots: false`).",
)
