"""What the collapse transcripts of one state say by themselves, before anything is compared."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.logprobs import why_no_entropies, why_unusable
from claas_assets.evaluation.metrics.tokens import letters_by_script, pairwise_rouge_l, repetition
from claas_assets.evaluation.metrics.units import Measured, Units, groups, no_answer
from claas_assets.evaluation.storage.records import Transcript, Unmeasured

GREEDY_TOKENS, SAMPLE_TOKENS = 160, 96
"""Token limits of the answers here, where the configured one is not lower: entropy, loops and likeness
show in a hundred tokens, and 44 answers are asked for. A cut answer is therefore normal: it counts as
`truncated` only where the configured limit was the lower one. `truncated_share` is how many answers at
temperature 0 reached whichever limit, to be read beside the baseline's."""

_UNCOUNTED = Unmeasured(kind="unavailable", reason="the deployment did not say how many tokens it made")

_NO_END = Unmeasured(kind="unavailable", reason="which tokens of the text end the turn is not recorded")

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
        return _token_means(self.greedy, lambda t: t.metadata.entropies, why_no_entropies)

    @cached_property
    def logprob(self) -> Units:
        """Nats: mean logprob over the tokens of each answer at temperature 0."""
        return _token_means(self.greedy, lambda t: t.metadata.logprobs, why_unusable)

    @cached_property
    def fixed_text(self) -> Units:
        """Nats: mean logprob over the tokens of each fixed text."""
        return _token_means(self.fixed, lambda t: t.metadata.logprobs, why_unusable)

    @cached_property
    def fixed_text_words(self) -> Units:
        """The same without the end-of-turn token, which the template adds and not the text."""
        units = Units()
        for transcript in self.fixed:
            units.add(transcript.question, no_answer(transcript) or _mean_of_words(transcript))
        return units

    @cached_property
    def self_rouge_l(self) -> Units:
        """In [0, 1]: how alike the sampled answers to each prompt are."""
        samples = [t for t in self.generated if "/sample/" in t.key]
        units = Units(truncated=sum(map(cut_by_configuration, samples)))
        by_prompt = _by_prompt(samples)
        varied = any(len({t.answer for t in answers if t.answer is not None}) > 1 for answers in by_prompt.values())
        for prompt, answers in by_prompt.items():
            units.add(prompt, _likeness(answers, server_samples=varied))
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
            units.add(transcript.question, no_answer(transcript) or (_UNCOUNTED if count is None else float(count)))
        return units

    @cached_property
    def empty(self) -> Units:
        """1 for every answer of white space alone."""
        units = Units()
        for transcript in self.generated:
            units.add(transcript.key, no_answer(transcript) or float(not (transcript.answer or "").strip()))
        return units

    @cached_property
    def truncated(self) -> Units:
        """1 for every answer at the probes' temperature that reached its token limit."""
        units = Units()
        for transcript in self.greedy:
            cut = transcript.metadata.truncated
            units.add(transcript.key, no_answer(transcript) or (_UNCOUNTED if cut is None else float(cut)))
        return units

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


def _token_means(
    transcripts: list[Transcript],
    values_of: Callable[[Transcript], list[float] | None],
    why_wrong: Callable[[list[float]], str | None],
) -> Units:
    units = Units(truncated=sum(map(cut_by_configuration, transcripts)))
    for transcript in transcripts:
        units.add(
            transcript.question, no_answer(transcript) or _token_mean(transcript, values_of(transcript), why_wrong)
        )
    return units


def _token_mean(
    transcript: Transcript, values: list[float] | None, why_wrong: Callable[[list[float]], str | None]
) -> Measured:
    if not values:
        if transcript.metadata.kind == "score":
            return Unmeasured(kind="failed", reason="the score of this text holds no token logprobs")
        return Unmeasured(kind="unavailable", reason="the deployment returned no token logprobs")
    wrong = why_wrong(values)
    return sum(values) / len(values) if wrong is None else Unmeasured(kind="failed", reason=wrong)


def _mean_of_words(transcript: Transcript) -> Measured:
    values, added = transcript.metadata.logprobs, transcript.metadata.end_of_turn
    if values and added is None:
        return _NO_END
    return _token_mean(transcript, values[: len(values) - added] if values and added else values, why_unusable)


def _likeness(samples: list[Transcript], *, server_samples: bool) -> Measured:
    """`server_samples`: some prompt was answered in two ways, so a fixed seed is not why these are the same."""
    texts = [t.answer for t in samples if t.answer is not None]
    if len(texts) < 2:
        reasons = [reason for t in samples if (reason := no_answer(t)) is not None]
        return reasons[0] if reasons else Unmeasured(kind="failed", reason="one sample has nothing to be compared with")
    if not any(text.strip() for text in texts):
        return Unmeasured(kind="failed", reason="every sample is empty")
    if len(set(texts)) == 1 and not server_samples:
        same = "all samples at temperature 0.7 are the same text, as from a server that fixes its seed"
        return Unmeasured(kind="unavailable", reason=same)
    return pairwise_rouge_l(texts)


def _looping(answers: list[Transcript]) -> Measured:
    found = [rep4 for t in answers if t.answer is not None and (rep4 := repetition(t.answer)) is not None]
    if found:
        return sum(found) / len(found)
    reasons = [reason for t in answers if (reason := no_answer(t)) is not None]
    return reasons[0] if reasons else Unmeasured(kind="failed", reason="every answer is empty")
