"""What the collapse transcripts of one state say by themselves, before anything is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.tokens import letters_by_script, pairwise_rouge_l, repetition
from claas_assets.evaluation.metrics.units import Measured, Units, groups, mean, no_answer
from claas_assets.evaluation.storage.records import Transcript, Unmeasured

GREEDY_TOKENS, SAMPLE_TOKENS = 160, 96
"""Token limits of the answers here, where the configured one is not lower: entropy, loops and likeness
show in a hundred tokens, and 44 answers are asked for. A cut answer is therefore normal: it counts as
`truncated` only where the configured limit was the lower one. `truncated_share` is how many answers at
temperature 0 reached whichever limit, to be read beside the baseline's."""

OCEAN, NEUTRAL, FIXED = "collapse/ocean", "collapse/neutral", "collapse/fixed_text"


class CollapseState:
    """One snapshot's answers. Every `Units` here has a prompt as its unit, named by its text."""

    def __init__(self, transcripts: Transcripts) -> None:
        self.ocean = transcripts.below(OCEAN)
        self.neutral = transcripts.below(NEUTRAL)
        self.fixed = transcripts.below(FIXED)
        self.generated = [*self.ocean, *self.neutral]
        self.greedy = [t for t in self.generated if t.key.endswith("/greedy")]

    @cached_property
    def entropy(self) -> Units:
        """Nats: mean entropy over the tokens of each answer at temperature 0."""
        return _token_means(self.greedy, lambda t: t.metadata.entropies)

    @cached_property
    def logprob(self) -> Units:
        """Nats: mean logprob over the tokens of each answer at temperature 0."""
        return _token_means(self.greedy, lambda t: t.metadata.logprobs)

    @cached_property
    def fixed_text(self) -> Units:
        """Nats: mean logprob over the tokens of each fixed text."""
        return _token_means(self.fixed, lambda t: t.metadata.logprobs)

    @cached_property
    def self_rouge_l(self) -> Units:
        """In [0, 1]: how alike the sampled answers to each prompt are."""
        samples = [t for t in self.generated if "/sample/" in t.key]
        units = Units(truncated=sum(map(cut_by_configuration, samples)))
        for prompt, answers in _by_prompt(samples).items():
            units.add(prompt, _likeness(answers))
        return units

    @cached_property
    def rep4(self) -> Units:
        """In [0, 1): repeated 4-grams, the mean over all answers to each neutral prompt."""
        units = Units()
        for prompt, answers in _by_prompt(self.neutral).items():
            units.add(prompt, _looping(answers))
        return units

    @cached_property
    def length(self) -> Units:
        """Tokens of each answer at temperature 0."""
        units = Units()
        for transcript in self.greedy:
            count = transcript.metadata.completion_tokens
            unknown = Unmeasured(kind="unavailable", reason="the deployment did not say how many tokens it made")
            units.add(transcript.question, no_answer(transcript) or (unknown if count is None else float(count)))
        return units

    def empty_share(self) -> float | None:
        answers = [t.answer for t in self.generated if t.answer is not None]
        return mean(float(not answer.strip()) for answer in answers)

    def truncated_share(self) -> float | None:
        cut = [t.metadata.truncated for t in self.greedy]
        return mean(float(truncated) for truncated in cut if truncated is not None)

    def letters(self, prompts: Iterable[str]) -> Counter[str]:
        """Letters by script in all answers to `prompts`."""
        wanted = set(prompts)
        answers = (t.answer for t in self.generated if t.question in wanted)
        return letters_by_script(answer for answer in answers if answer is not None)

    @property
    def prompts(self) -> set[str]:
        return {t.question for t in self.generated}


def cut_by_configuration(transcript: Transcript) -> bool:
    """Whether the answer is cut, and not by the limit that this metric sets itself."""
    cap = SAMPLE_TOKENS if "/sample/" in transcript.key else GREEDY_TOKENS
    limit = transcript.metadata.max_tokens
    return bool(transcript.metadata.truncated) and limit is not None and limit < cap


def _by_prompt(transcripts: Iterable[Transcript]) -> dict[str, list[Transcript]]:
    return groups(transcripts, lambda transcript: transcript.question)


def _token_means(transcripts: list[Transcript], values_of: Callable[[Transcript], list[float] | None]) -> Units:
    units = Units(truncated=sum(map(cut_by_configuration, transcripts)))
    for transcript in transcripts:
        values = values_of(transcript)
        found = no_answer(transcript) or (sum(values) / len(values) if values else _no_logprobs(transcript))
        units.add(transcript.question, found)
    return units


def _no_logprobs(transcript: Transcript) -> Unmeasured:
    if transcript.metadata.kind == "score":
        return Unmeasured(kind="failed", reason="the score of this text holds no token logprobs")
    return Unmeasured(kind="unavailable", reason="the deployment returned no token logprobs")


def _likeness(samples: list[Transcript]) -> Measured:
    texts = [t.answer for t in samples if t.answer is not None]
    if len(texts) < 2:
        reasons = [reason for t in samples if (reason := no_answer(t)) is not None]
        return reasons[0] if reasons else Unmeasured(kind="failed", reason="one sample has nothing to be compared with")
    if not any(text.strip() for text in texts):
        return Unmeasured(kind="failed", reason="every sample is empty")
    if len(set(texts)) == 1:
        same = "all samples at temperature 0.7 are the same text, as from a server that fixes its seed"
        return Unmeasured(kind="unavailable", reason=same)
    return pairwise_rouge_l(texts)


def _looping(answers: list[Transcript]) -> Measured:
    found = [rep4 for t in answers if t.answer is not None and (rep4 := repetition(t.answer)) is not None]
    if found:
        return sum(found) / len(found)
    reasons = [reason for t in answers if (reason := no_answer(t)) is not None]
    return reasons[0] if reasons else Unmeasured(kind="failed", reason="every answer is empty")
