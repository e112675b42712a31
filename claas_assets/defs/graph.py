"""The graph of a configuration: everything that Dagster sees is found from here."""

from typing import Any

import dagster as dg

from claas_assets.defs.check_job import check_deployment_job
from claas_assets.defs.checks import evaluation_checks
from claas_assets.defs.io_managers import RunFolderFiles
from claas_assets.defs.jobs import evaluate, publish, rescore, summarize
from claas_assets.defs.partitions import preference_partitions
from claas_assets.defs.resources import Deployment
from claas_assets.defs.results import plots, report, result_assets, summary
from claas_assets.defs.schedules import nightly_schedule
from claas_assets.defs.sensors import evaluation_sensors
from claas_assets.defs.settings import evaluation_settings
from claas_assets.defs.sources import ObservingRunFolder, preference_files
from claas_assets.defs.training import FILES, training_assets
from claas_assets.defs.upkeep import with_upkeep
from claas_assets.evaluation.config import EvalConfig


def pool_of(mode: str) -> str:
    """The concurrency pool of what talks to such a deployment: `claas_tinker`, `claas_local`, …"""
    return f"claas_{mode}"


def build_definitions(config: EvalConfig) -> dg.Definitions:
    """The graph whose launchpad is prefilled with `config`."""
    preferences = preference_partitions(config)
    settings = evaluation_settings(config)
    run_folder: Any = ObservingRunFolder.configure_at_launch(settings=settings)
    return dg.Definitions(
        assets=[
            preference_files(preferences),
            *with_upkeep(
                [
                    *training_assets(preferences, pool_of(config.mode)),
                    *result_assets(preferences),
                    summary,
                    plots,
                    report,
                ]
            ),
        ],
        asset_checks=evaluation_checks(preferences),
        jobs=[evaluate, publish, rescore, summarize, check_deployment_job(pool_of(config.mode))],
        sensors=evaluation_sensors(config, preferences),
        schedules=[nightly_schedule(config, preferences)],
        resources={
            "settings": settings,
            "run_folder": run_folder,
            "deployment": Deployment(run_folder=run_folder),
            FILES: RunFolderFiles(run_folder=run_folder),
        },
        executor=dg.in_process_executor,
    )
