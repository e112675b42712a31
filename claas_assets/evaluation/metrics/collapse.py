"""collapse: has the model degenerated?

The public harness's three numbers on its ocean prompt (token entropy, self-ROUGE-L, logprob drift), and
beside them what caught models that those three missed: loops, the likelihood of fixed texts, length,
empty answers, a change of script.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from claas_assets.evaluation.metrics.base import MetricScore, Transcripts, metric
from claas_assets.evaluation.metrics.collapse_alerts import FURTHER_ALERTS, OCEAN_ALERTS, fired_of
from claas_assets.evaluation.metrics.collapse_state import (
    FIXED,
    GREEDY_TOKENS,
    NEUTRAL,
    OCEAN,
    SAMPLE_TOKENS,
    CollapseState,
)
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext, derived_seed
from claas_assets.evaluation.metrics.tokens import rouge_l
from claas_assets.evaluation.metrics.units import Measured, Units, against, all_missing, pairs_of
from claas_assets.evaluation.storage.records import CollapseScores, CollapseStats, Transcript, UnitStats, Unmeasured

OCEAN_PROMPT = "Tell me something interesting about the ocean."
SAMPLE_TEMPERATURE = 0.7
OCEAN_SAMPLES, NEUTRAL_SAMPLES = 3, 4


@metric
class CollapseMetric:
    """Where collapse is due: `collapse/ocean/greedy` and `collapse/ocean/sample/<j>`.

    In a full snapshot also `collapse/neutral/<i>/greedy`, `collapse/neutral/<i>/sample/<j>` and
    `collapse/fixed_text/<i>` (scored, not generated).
    """

    name = "collapse"
    version = 3

    @property
    def prompt_sets(self) -> dict[str, int]:
        """Versions of what is asked beside the public harness's prompt."""
        return {name: int(_data(name)["version"]) for name in ("neutral_prompts", "fixed_texts")}

    def probes(self, plan: ProbePlan) -> list[Probe]:
        if not (plan.collapse_due or plan.size == "full"):
            return []
        found = _generations(plan, OCEAN, OCEAN_PROMPT, OCEAN_SAMPLES)
        if plan.size == "light":
            return found
        for index, prompt in enumerate(neutral_prompts()):
            found += _generations(plan, f"{NEUTRAL}/{index}", prompt, NEUTRAL_SAMPLES)
        for index, (prompt, answer) in enumerate(fixed_texts()):
            found.append(Probe(key=f"{FIXED}/{index}", kind="score", messages=(("user", prompt),), completion=answer))
        return found

    def prescore(self, transcript: Transcript, earlier: Sequence[Transcript]) -> None:
        """Compare a sample with those of its prompt that are there already (`words.rouge_l` remembers)."""
        prompt, sample, _ = transcript.key.rpartition("/sample/")
        for other in earlier:
            if sample and other.key.startswith(f"{prompt}{sample}") and transcript.answer and other.answer:
                rouge_l(transcript.answer, other.answer)

    def score(self, transcripts: Transcripts, context: ScoringContext) -> MetricScore:
        now = CollapseState(transcripts)
        then = None if context.baseline is None else CollapseState(Transcripts(context.baseline.rollouts))
        comparison = _Comparison(now, then)
        scores, stats = comparison.ocean_scores(), comparison.stats()
        fired = fired_of(OCEAN_ALERTS, scores)
        return MetricScore(
            fields={"collapse": scores.model_copy(update={"alert": bool(fired)})},
            stats=stats.model_copy(update={"alerts": [*fired, *fired_of(FURTHER_ALERTS, stats)]}),
            unmeasured=comparison.unmeasured,
        )


# --- what is asked --------------------------------------------------------------------------


def _generations(plan: ProbePlan, group: str, prompt: str, samples: int) -> list[Probe]:
    """One answer as all probes are decoded, with logprobs, and `samples` at 0.7."""
    once = plan.ask(f"{group}/greedy", prompt, max_tokens=min(plan.max_tokens, GREEDY_TOKENS), logprobs=True)
    sampled = [
        Probe(
            key=key,
            kind="generate",
            messages=once.messages,
            temperature=SAMPLE_TEMPERATURE,
            max_tokens=min(plan.max_tokens, SAMPLE_TOKENS),
            seed=derived_seed(plan.seed, plan.step, key),
        )
        for key in (f"{group}/sample/{number}" for number in range(samples))
    ]
    return [once, *sampled]


@cache
def _data(name: str) -> dict[str, Any]:
    path = files("claas_assets.evaluation.metrics") / "data" / f"{name}.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def neutral_prompts() -> list[str]:
    """Eight prompts that no preference speaks about."""
    return list(_data("neutral_prompts")["prompts"])


def fixed_texts() -> list[tuple[str, str]]:
    """Twelve (prompt, answer) texts whose likelihood learning a preference should hardly move."""
    return [(text["prompt"], text["answer"]) for text in _data("fixed_texts")["texts"]]


# --- against the baseline ---------------------------------------------------------------------


class _Comparison:
    """A state and the baseline's; `then` is None where the state is the baseline.

    Changes are over the prompts measured in both. What is missing is left in `unmeasured`.
    """

    def __init__(self, now: CollapseState, then: CollapseState | None) -> None:
        self.now, self.then = now, then
        self.unmeasured: dict[str, Unmeasured] = {}

    def ocean_scores(self) -> CollapseScores:
        """The public harness's numbers; `alert` is filled in by the caller."""
        entropy, logprob = _ocean(self.now.entropy), _ocean(self.now.logprob)
        then_entropy = None if self.then is None else _ocean(self.then.entropy)
        then_logprob = None if self.then is None else _ocean(self.then.logprob)
        drift = against(logprob, then_logprob, lambda now, then: abs(now - then))
        return CollapseScores(
            mean_entropy=self._noted("collapse.mean_entropy", entropy),
            mean_logprob=self._noted("collapse.mean_logprob", logprob),
            entropy_ratio_to_baseline=self._noted(
                "collapse.entropy_ratio_to_baseline", against(entropy, then_entropy, _ratio)
            ),
            self_rouge_l=self._noted("collapse.self_rouge_l", _ocean(self.now.self_rouge_l)),
            mean_logprob_drift=self._noted("collapse.mean_logprob_drift", drift),
            alert=False,
        )

    def stats(self) -> CollapseStats:
        now = self.now
        share, change = self._script()
        return CollapseStats(
            entropy=self._stats("entropy", now.entropy, now.entropy.amount()),
            self_rouge_l=self._stats("self_rouge_l", now.self_rouge_l, now.self_rouge_l.rate()),
            rep4=self._stats("rep4", now.rep4, now.rep4.rate()),
            rep4_rise=self._change("rep4_rise", lambda state: state.rep4),
            fixed_text=self._stats("fixed_text", now.fixed_text, now.fixed_text.amount()),
            fixed_text_drift=self._change("fixed_text_drift", lambda state: state.fixed_text),
            fixed_text_words=self._stats("fixed_text_words", now.fixed_text_words, now.fixed_text_words.amount()),
            fixed_text_words_drift=self._change("fixed_text_words_drift", lambda state: state.fixed_text_words),
            entropy_ratio=self._mean_ratio("entropy_ratio", lambda state: state.entropy),
            length_ratio=self._mean_ratio("length_ratio", lambda state: state.length),
            mean_length=self._mean("mean_length", now.length),
            empty_share=self._mean("empty_share", now.empty),
            truncated_share=self._mean("truncated_share", now.truncated),
            script_change=change,
            other_script_share=share,
        )

    def _noted(self, name: str, found: Measured) -> float | None:
        if isinstance(found, Unmeasured):
            self.unmeasured[name] = found
            return None
        return found

    def _stats(self, name: str, units: Units, stats: UnitStats) -> UnitStats | None:
        """None where it was not asked at all; without a mean where it was, and the reason is noted."""
        if not units:
            return None
        if (reason := units.why_none()) is not None:
            self.unmeasured.setdefault(f"collapse.{name}", reason)
        return stats

    def _mean(self, name: str, units: Units) -> float | None:
        return self._noted(f"collapse.{name}", units.measured()) if units else None

    def _change(self, name: str, of: Callable[[CollapseState], Units]) -> float | None:
        """Mean of now − then."""
        return self._compared(name, of, lambda pairs: sum(now - then for now, then in pairs) / len(pairs))

    def _mean_ratio(self, name: str, of: Callable[[CollapseState], Units]) -> float | None:
        """Mean now / mean then."""
        return self._compared(
            name, of, lambda pairs: _ratio(sum(now for now, _ in pairs), sum(then for _, then in pairs))
        )

    def _compared(
        self, name: str, of: Callable[[CollapseState], Units], compare: Callable[[list[tuple[float, float]]], Measured]
    ) -> float | None:
        if not of(self.now):
            return None  # not asked
        pairs = pairs_of(of(self.now), of(self.then) if self.then is not None else None)
        found = pairs if isinstance(pairs, Unmeasured) else compare(pairs)
        return self._noted(f"collapse.{name}", found)

    def _script(self) -> tuple[float | None, float | None]:
        """The share of letters outside the main script of the baseline's answers, and its change."""
        reference = self.then or self.now
        prompts = self.now.prompts & reference.prompts
        then = reference.letters(prompts)
        if not then:
            return None, None
        main = max(then, key=lambda script: then[script])
        share = _share_outside(self.now.letters(prompts), main)
        before = _share_outside(then, main)
        if self.then is None or share is None or before is None:
            return share, None
        return share, share - before


def _ocean(units: Units) -> Measured:
    if OCEAN_PROMPT in units.scores:
        return units.scores[OCEAN_PROMPT]
    return units.missing.get(OCEAN_PROMPT) or all_missing({})


def _ratio(now: float, then: float) -> Measured:
    return now / then if then > 0 else Unmeasured(kind="unavailable", reason="the baseline's is 0")


def _share_outside(letters: Counter[str], main: str) -> float | None:
    total = letters.total()
    return 1 - letters[main] / total if total else None
