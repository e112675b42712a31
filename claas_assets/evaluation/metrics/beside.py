"""The other preferences of a sequence, measured beside the one that is trained: their probes and their transcripts.

What is of no preference (capability, collapse) is asked once a state. A full snapshot asks everything of every
preference, a light one the trained prompts of the others alone. Keys are unique in what is asked at once, so they
end in the preference's name there; where they are recorded, each preference has its own list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from claas_assets.evaluation.metrics.compliance import ComplianceMetric
from claas_assets.evaluation.metrics.logprob import LogprobMetric
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan
from claas_assets.evaluation.metrics.scoring import gather_probes
from claas_assets.evaluation.storage.records import Transcript

OF_A_PREFERENCE = (LogprobMetric.name, ComplianceMetric.name)
"""The metrics that each preference of a sequence has for itself."""

_MARK = "@"


def probes_beside(metrics: Sequence[str], plan: ProbePlan) -> list[Probe]:
    """What is asked of a preference that is not the one in training, with its name at the end of each key."""
    asked = [ComplianceMetric.name] if plan.size == "light" else list(OF_A_PREFERENCE)
    probes = gather_probes([name for name in asked if name in metrics], plan)
    return [replace(probe, key=f"{probe.key}{_MARK}{plan.preference.name}") for probe in probes]


def by_preference(transcripts: Iterable[Transcript]) -> dict[str, list[Transcript]]:
    """The transcripts of `probes_beside` by preference, with their keys as they are recorded."""
    found: dict[str, list[Transcript]] = {}
    for transcript in transcripts:
        key, _, name = transcript.key.rpartition(_MARK)
        metadata = transcript.metadata.model_copy(update={"key": key})
        found.setdefault(name, []).append(transcript.model_copy(update={"metadata": metadata}))
    return found


def set_of(key: str) -> str:
    """`compliance/heldout_prompts`, `logprob`, `logprob@concise`: the part of a key before the number of the probe."""
    path, mark, name = key.partition(_MARK)
    parts = path.split("/")
    group = parts[0] if len(parts) < 2 or parts[1].isdigit() else "/".join(parts[:2])
    return f"{group}{mark}{name}"
