"""The job `check_deployment`: what would go wrong on the deployment, before an evaluation of it is paid for."""

import asyncio

import dagster as dg

from claas_assets.defs.resources import find_or_start
from claas_assets.defs.settings import EvaluationSettings
from claas_assets.evaluation.check.checkup import check_deployment
from claas_assets.evaluation.check.findings import Report
from claas_assets.evaluation.config import gateway_token
from claas_assets.evaluation.preferences.sequence import load_sequence


def check_deployment_job(pool: str) -> dg.JobDefinition:
    @dg.op(pool=pool, description="Trains one throwaway adapter once, deletes it, and says what it found.")
    def check(context: dg.OpExecutionContext, settings: EvaluationSettings) -> None:
        config = settings.of_run(settings.results_dir / "check")
        sequences = [load_sequence(name, config.preference_folder()) for name in config.preferences]
        url = find_or_start(config, context.log.info)
        token = gateway_token(config)
        report = asyncio.run(
            check_deployment(config, url, token, sequences, lambda finding: context.log.info(finding.line))
        )
        context.add_output_metadata({"findings": dg.MetadataValue.md(_table(report))})
        if report.blocking:
            raise dg.Failure("; ".join(finding.line for finding in report.blocking), allow_retries=False)

    @dg.job(
        name="check_deployment",
        description="What would go wrong on the deployment, in under two minutes. Fails where something blocks.",
    )
    def job() -> None:
        check()

    return job


def _table(report: Report) -> str:
    rows = [f"| {f.state} | {f.name} | {_cell(f.said)} | {_cell(f.todo)} |" for f in report.findings]
    return "\n".join(["| | what | seen | to do |", "| --- | --- | --- | --- |", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
