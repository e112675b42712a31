"""Resources of the graph: the deployment that is evaluated, and what the training of a preference on it needs."""

import contextlib
from collections.abc import Callable

import dagster as dg
from pydantic import PrivateAttr

from claas_assets.defs.run_folder import PARTITION_TAG, CurrentRunFolder
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.locks import deployment_lock
from claas_assets.evaluation.deployment.routes import ENGINES
from claas_assets.evaluation.errors import DeploymentUnreachable
from claas_assets.evaluation.preferences.sequence import PreferenceSequence, controlled, load_sequence
from claas_assets.evaluation.progress import Event, Reporter, listeners
from claas_assets.evaluation.training.context import TrainingContext


def find_or_start(config: EvalConfig, say: Callable[[str], None]) -> str:
    """The address of the deployment; in mode embedded without one, a stack of this machine.

    Raises `DeploymentUnreachable` where that cannot be started.
    """
    if config.claas_url is not None:
        return config.claas_url
    from claas_assets.stack.supervise import StackError, ensure_running

    try:
        return ensure_running(config.base_model, on_progress=say)
    except StackError as error:
        raise DeploymentUnreachable(str(error)) from error


LONGEST_WAIT_S = 24 * 3600.0
"""For a deployment with one sampler. Evaluations queue for it, each for hours; a day is no queue any more."""


class Deployment(dg.ConfigurableResource):
    """A live CLaaS. Nothing is sent, or started, before a stage needs it.

    A deployment with one sampler is held for the whole run, from init to the last step. The lock is taken
    here, before any asset begins: a run that waited for it inside an asset would wait while it holds a pool
    slot, which the run that has the deployment may need.
    """

    run_folder: dg.ResourceDependency[CurrentRunFolder]
    _held: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _sequence: PreferenceSequence | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._sequence = None
        config = self.run_folder.config()
        if config.claas_url is not None and ENGINES[config.mode].one_sampler:
            say = context.log.info if context.log is not None else print
            tags = context.run.tags if context.run is not None else {}
            held = deployment_lock(
                config.claas_url,
                holder=f"run {self.run_folder.path.name}, preference {tags.get(PARTITION_TAG, 'unknown')}",
                timeout_s=LONGEST_WAIT_S,
                on_wait=lambda holder: say(f"waiting for {config.claas_url}, which {holder} holds"),
            )
            self._held.enter_context(held)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self._held.close()

    def training_context(self, context: dg.AssetExecutionContext) -> TrainingContext:
        """This partition's sequence, or preference alone, on the deployment. A broken file fails here."""
        config = self.run_folder.config()
        folder = config.preference_folder()
        if self._sequence is None:  # read once a run: three assets ask
            self._sequence = controlled(load_sequence(context.partition_key, folder), config.control, folder)
        sequence = self._sequence
        report = reporter(context)

        def find() -> str:
            return find_or_start(config, lambda text: report(Event(sequence.name, "deployment", text)))

        return TrainingContext.at(
            find(),
            config=config,
            sequence=sequence,
            folder=self.run_folder.preference(sequence.name).path,
            report=report,
            locate=find if config.claas_url is None else None,  # a stack that is started again chooses another port
        )


def reporter(context: dg.AssetExecutionContext) -> Reporter:
    """To whoever listens in this process (the command line), and to the run's log without the ticks."""

    def report(event: Event) -> None:
        for listener in listeners():
            listener(event)
        if event.stage == "step" and event.numbers:
            context.log_event(observation(context, event))
        if event.stage != "probes":
            numbers = ", ".join(f"{name} {value:.3g}" for name, value in event.numbers.items() if value is not None)
            step = "" if event.step is None else f"step {event.step}: "
            context.log.info(f"{step}{event.message}" + (f" ({numbers})" if numbers else ""))

    return report


def observation(context: dg.AssetExecutionContext, event: Event) -> dg.AssetObservation:
    """A step's numbers while the run is under way, one event a step: the UI charts them."""
    numbers = {name: float(value) for name, value in event.numbers.items() if value is not None}
    return dg.AssetObservation(
        asset_key=context.asset_key, partition=context.partition_key, metadata={"step": event.step, **numbers}
    )
