"""Jobs: what people start by name."""

import dagster as dg

SCORES = ("metric_table", "collapse_snapshots", "verdict")
PER_PREFERENCE = ("adapter", "baseline", "training_steps", *SCORES)

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(*PER_PREFERENCE),
    description="One preference, from a fresh adapter to its verdict. In a folder that has steps it resumes.",
)
rescore = dg.define_asset_job(
    "rescore",
    selection=dg.AssetSelection.assets(*SCORES),
    description="The tables and the verdict of one preference again, from its files, by today's verifiers and bounds.",
)
report = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets("summary", "plots", "report"),
    description="The summary, the plots and the report of a run, from its files.",
)
summarize = dg.define_asset_job(
    "summarize",
    selection=dg.AssetSelection.assets("summary"),
    description="The summary alone (`plots: false`).",
)
