"""The index of the graph: everything that Dagster sees is found from here."""

import dagster as dg

from claas_assets.defs.io_managers import RunFolderFiles
from claas_assets.defs.jobs import evaluate, report, rescore, summarize
from claas_assets.defs.partitions import preference_partitions
from claas_assets.defs.resources import Deployment
from claas_assets.defs.results import plots, result_assets, summary
from claas_assets.defs.run_folder import RunFolder
from claas_assets.defs.settings import evaluation_settings
from claas_assets.defs.training import FILES, training_assets
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.config_files import chosen_config


def pool_of(mode: str) -> str:
    """The concurrency pool of what talks to such a deployment: `claas_tinker`, `claas_local`, …"""
    return f"claas_{mode}"


def build_definitions(config: EvalConfig) -> dg.Definitions:
    """The graph whose launchpad is prefilled with `config`."""
    preferences = preference_partitions(config)
    settings = evaluation_settings(config)
    run_folder = RunFolder.configure_at_launch(settings=settings)
    return dg.Definitions(
        assets=[*training_assets(preferences, pool_of(config.mode)), *result_assets(preferences), summary, plots],
        jobs=[evaluate, rescore, report, summarize],
        resources={
            "settings": settings,
            "run_folder": run_folder,
            "deployment": Deployment(settings=settings, run_folder=run_folder),
            FILES: RunFolderFiles(run_folder=run_folder),
        },
        executor=dg.in_process_executor,
    )


defs = build_definitions(chosen_config())
