"""The adapter's weights at chosen steps, kept in the run folder: what was good stays when what follows is not."""

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import RequestRefused
from claas_assets.evaluation.storage.atomic import to_json
from claas_assets.evaluation.storage.records import StepRecord, Unmeasured
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.sampler import Serving, Weights


def is_kept(config: EvalConfig, record: StepRecord, total: int) -> bool:
    """Whether the adapter after this step is to be kept: at the steps asked for, and where the run ends."""
    ends = record.step == total - 1 or record.stopped is not None
    return bool(config.keep_steps) and (ends or record.step in config.keep_steps)


async def keep_adapter(context: TrainingContext, lora_id: str, step: int, weights: Weights) -> None:
    """Export the adapter as it is now, which must be its state after `step`; on Tinker, its checkpoint's path.

    A deployment that refuses is said and the run goes on: its measurements do not depend on it.
    """
    folder = PreferenceFolder(context.folder)
    if folder.kept(step) is not None:
        return
    if isinstance(weights, Unmeasured):
        context.say("note", f"the adapter after step {step + 1} is not kept: {weights.reason}", step=step)
    elif isinstance(weights, Serving):
        folder.write_kept(step, to_json({"lora_id": lora_id, "step": step, "model_path": weights.model_path}), "json")
    else:
        try:
            folder.write_kept(step, await context.client.export_adapter(lora_id), "zip")
        except RequestRefused as error:
            context.say("note", f"the adapter after step {step + 1} is not kept: {error}", step=step)
