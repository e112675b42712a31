"""Resources of the graph: the deployment that is evaluated, and the stage of one preference on it."""

from collections.abc import Callable

import dagster as dg

from claas_assets.defs.run_folder import RunFolder
from claas_assets.defs.settings import EvaluationSettings
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences import load_preference
from claas_assets.evaluation.progress import Event, Reporter, listeners
from claas_assets.evaluation.stages import Stage


def find_or_start(config: EvalConfig, say: Callable[[str], None]) -> str:
    """The address of the deployment; in mode embedded without one, a stack of this machine."""
    if config.claas_url is not None:
        return config.claas_url
    from claas_assets.stack.supervise import ensure_running

    return ensure_running(config.base_model, on_progress=say)


class Deployment(dg.ConfigurableResource):
    """A live CLaaS. Nothing is sent, or started, before a stage needs it."""

    settings: dg.ResourceDependency[EvaluationSettings]
    run_folder: dg.ResourceDependency[RunFolder]

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """This partition's preference on the deployment. A broken preference file fails here."""
        config = self.settings.read()
        preference = load_preference(context.partition_key, config.preference_folder())
        report = reporter(context)
        return Stage(
            config=config,
            preference=preference,
            claas_url=find_or_start(config, lambda text: report(Event(preference.name, "deployment", text))),
            folder=self.run_folder.of(preference.name),
            report=report,
        )


def reporter(context: dg.AssetExecutionContext) -> Reporter:
    """To whoever listens in this process (the command line), and to the run's log without the ticks."""

    def report(event: Event) -> None:
        for listener in listeners():
            listener(event)
        if event.stage != "probes":
            numbers = ", ".join(f"{name} {value:.3g}" for name, value in event.numbers.items() if value is not None)
            step = "" if event.step is None else f"step {event.step}: "
            context.log.info(f"{step}{event.message}" + (f" ({numbers})" if numbers else ""))

    return report
