"""The judge, asked about the answers of a state or of a batch, where a preference's verifiers want it."""

from collections.abc import Sequence

from claas_assets.evaluation.errors import JudgeError
from claas_assets.evaluation.judge import judge_of_environment, judgements_for
from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.compliance import ComplianceMetric, obedience
from claas_assets.evaluation.metrics.probes import ScoringContext
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import EvalSnapshot, Transcript


async def judgements_of_answers(
    preference: Preference, metrics: Sequence[str], baseline: EvalSnapshot | None, answered: Sequence[Transcript]
) -> list[Transcript]:
    """What scoring the compliance of one state wants judged; at the baseline, the labeled answers too.

    Raises `JudgeError` where the judge gave no judgement at all: it would not judge the next state either.
    """
    if not preference.asks_a_judge or ComplianceMetric.name not in metrics:
        return []
    scoring = ScoringContext(preference=preference, baseline=baseline)
    async with judge_of_environment() as judge:
        made = await judgements_for(lambda: ComplianceMetric().score(Transcripts(answered), scoring), judge)
    return _not_all_failed(made)


async def judgements_of_batch(preference: Preference, batch: Sequence[Transcript]) -> list[Transcript]:
    """What is wanted to know which answers of a batch obey. Raises `JudgeError`."""
    if not preference.asks_a_judge:
        return []
    obeys = obedience(preference)
    async with judge_of_environment() as judge:
        return _not_all_failed(await judgements_for(lambda: [*map(obeys, batch)], judge))


def _not_all_failed(made: list[Transcript]) -> list[Transcript]:
    reasons = [transcript.metadata.error.reason for transcript in made if transcript.metadata.error is not None]
    if reasons and len(reasons) == len(made):
        raise JudgeError(f"none of {len(made)} answers was judged. The first: {reasons[0]}")
    return made
