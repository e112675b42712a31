"""One step's rollouts: the answers that feedback is given on."""

from collections.abc import Sequence

from claas_assets.evaluation.errors import DeploymentError
from claas_assets.evaluation.metrics.probes import Probe, derived_seed
from claas_assets.evaluation.preferences.sequence import Turn
from claas_assets.evaluation.storage.records import RolloutRecord, Transcript
from claas_assets.evaluation.training.asking import Asker
from claas_assets.evaluation.training.context import TrainingContext

PREFIX = "rollout/"


def prompts_of_step(turn: Turn, batch_size: int) -> list[str]:
    """Batch entry i of a phase's step s uses prompt (s·batch_size + i) mod n."""
    prompts = turn.preference.probe_prompts
    return [prompts[(turn.step * batch_size + i) % len(prompts)] for i in range(batch_size)]


def feedback_of_step(context: TrainingContext, step: int) -> str:
    """The wording that a step gives: of several, the one that the run's seed picks; of a control run, its text."""
    preference, control = context.turns[step].preference, context.sequence.feedback
    if control is not None:
        return control[preference.name]
    wordings = preference.feedback_strings or (preference.feedback_string,)
    return wordings[derived_seed(context.config.seed, step, "feedback") % len(wordings)]


def rollout_probes(context: TrainingContext, step: int) -> list[Probe]:
    """With logprobs: feedback on a completion that was cached without them is refused."""
    config = context.config
    return [
        Probe(
            key=f"{PREFIX}{index}",
            kind="generate",
            messages=(("user", prompt),),
            temperature=config.rollout_temperature,
            max_tokens=config.rollout_max_tokens,
            seed=derived_seed(config.seed, step, "rollout", index),
            logprobs=True,
        )
        for index, prompt in enumerate(prompts_of_step(context.turns[step], config.batch_size))
    ]


async def roll_out(context: TrainingContext, lora_id: str, step: int) -> list[RolloutRecord]:
    """Sample the batch. Raises where an answer is missing or empty: there is nothing to train on then."""
    asker = Asker(context.client, lora_id, seed=context.config.seed)
    transcripts, _ = await asker.ask(rollout_probes(context, step), lambda done, total: None)
    for transcript in transcripts:
        if transcript.metadata.error is not None:
            await context.client.check_adapter(lora_id)
            raise DeploymentError(f"no rollout for {transcript.question!r}: {transcript.metadata.error.reason}")
        if not (transcript.answer or "").strip():
            raise DeploymentError(
                f"the model answered nothing to {transcript.question!r}; feedback on an empty answer is refused by "
                "every deployment. The model may have collapsed: see the earlier steps"
            )
    return records_of(transcripts)


def usable(transcripts: Sequence[Transcript]) -> bool:
    """Whether there is an answer to every prompt of the batch."""
    return bool(transcripts) and all((transcript.answer or "").strip() for transcript in transcripts)


def records_of(transcripts: Sequence[Transcript]) -> list[RolloutRecord]:
    """A record each, in their order."""
    return [
        RolloutRecord(
            prompt=transcript.question,
            response=transcript.answer or "",
            metadata=transcript.metadata.model_dump(
                include={
                    "seed", "temperature", "max_tokens", "prompt_tokens", "completion_tokens", "finish_reason",
                    "truncated",
                }
            ),
        )
        for transcript in transcripts
    ]  # fmt: skip
