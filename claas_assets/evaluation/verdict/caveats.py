"""What a verdict says beside its criteria: could it be taught, was it memorized, what is missing."""

from collections.abc import Iterator, Sequence

from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.storage.records import Criterion, EvalSnapshot, ScoredStep
from claas_assets.evaluation.verdict.measurements import BeforeAfter, deciding_set

MAX_SHARE = 0.1
"""Of answers that were cut, empty, or a refusal: above it the verdict says so."""

SAME_SHARE = 0.5
"""Of answers that are one text: a name is often said in the same words, an explanation is not."""


def notes_on(states: BeforeAfter, steps: Sequence[ScoredStep], criteria: dict[str, Criterion]) -> list[str]:
    """In the order of their weight."""
    return [
        *_trained_meanwhile(steps),
        *_interrupted(steps),
        *_miscounted(steps),
        *_not_available(criteria),
        *_teachable(states),
        *_memorized(states.last),
        *_trained_nothing(states, steps),
        *_answers(states.last),
        *_unanswered(states.last),
        *_open_network(states),
        *_other_versions(states),
        "one run speaks for this adapter; a claim about a recipe needs three seeds or more",
    ]


def _trained_meanwhile(steps: Sequence[ScoredStep]) -> Iterator[str]:
    for step in steps:
        if step.trained_meanwhile is not None:
            yield (
                f"somebody trained the adapter while it was audited: {step.trained_meanwhile}; these numbers are of no "
                "one state of it"
            )


def _interrupted(steps: Sequence[ScoredStep]) -> Iterator[str]:
    found = [str(step.step) for step in steps if step.interrupted]
    if found:
        yield (
            f"{len(found)} of {len(steps)} steps were interrupted ({', '.join(found)}): their feedback was sent, "
            "whether it trained is not known, and it was not sent again"
        )


def _miscounted(steps: Sequence[ScoredStep]) -> Iterator[str]:
    """What the deployment counted against what the steps record: an interrupted step may have trained."""
    counted = steps[-1].updates_counted if steps else None
    recorded = sum(step.sub_step_count for step in steps)
    if counted is not None and counted != recorded:
        yield f"the deployment counted {counted} updates of this adapter, and the steps record {recorded}"


def _not_available(criteria: dict[str, Criterion]) -> Iterator[str]:
    for name, criterion in criteria.items():
        if criterion.grade == "unavailable":
            yield f"{name} is left out of the verdict: {criterion.reason}"


def _teachable(states: BeforeAfter) -> Iterator[str]:
    """`learned = (C − C₀)/(C_ceiling − C₀)`: the share of what prompting can do that training did."""
    name = deciding_set(states)
    then, now, ceiling = _obeyed(states.baseline, name), _obeyed(states.last, name), _obeyed(states.baseline, "ceiling")
    if then is None or ceiling is None:
        return
    if ceiling <= then:
        yield (
            f"told the feedback in the prompt, the untrained model obeys at {ceiling:.2f}, "
            f"and without being told at {then:.2f}"
        )
    elif now is not None:
        yield (
            f"learned {(now - then) / (ceiling - then):.0%} of what telling it in the prompt does "
            f"({then:.2f} → {now:.2f}, ceiling {ceiling:.2f})"
        )


def _memorized(last: EvalSnapshot) -> Iterator[str]:
    trained, held_out = _obeyed(last, "probe_prompts"), _obeyed(last, "heldout_prompts")
    if trained is not None and held_out is not None:
        yield (
            f"memorization gap {trained - held_out:+.2f} "
            f"(obeys on trained prompts {trained:.2f}, on held-out ones {held_out:.2f})"
        )


def _trained_nothing(states: BeforeAfter, steps: Sequence[ScoredStep]) -> Iterator[str]:
    """Numbers of the engine, and of its scores, that prove that no weight moved, whatever updates were counted."""
    for name, what in (("adv_abs_mean", "size of the advantage"), ("grad_norm", "norm of the gradient")):
        known = [step.engine[name] for step in steps if step.engine and name in step.engine]
        if known and not any(known):
            yield f"nothing was trained: the engine's {what} ({name}) is exactly 0 in all {len(known)} steps"
    logprob = states.last.stats.logprob
    changes = list(logprob.delta.scores.values()) if logprob is not None and logprob.delta is not None else []
    if len(changes) > 1 and not any(changes):
        yield (
            f"every one of {len(changes)} logprob margins is exactly what it was before training: no weight that they "
            "depend on has moved, or another model was scored"
        )


def _answers(last: EvalSnapshot) -> Iterator[str]:
    """Answers to the preference's own prompts that one should look at.

    Those that reached the token limit are told by what they are: a loop has no end whatever the limit.
    """
    answers = last.answers
    if answers is None:
        return
    if answers.cut > MAX_SHARE * answers.n:
        at = f" of {' or '.join(map(str, answers.limits))} tokens" if answers.limits else ""
        yield (
            f"{answers.cut} of {answers.n} answers reached the limit{at}: {answers.cut_and_looping} of them loop, and "
            f"{answers.cut - answers.cut_and_looping} do not and were cut (a cut answer looks concise)"
        )
    if answers.empty > MAX_SHARE * answers.n:
        yield f"{answers.empty} of {answers.n} answers are empty"
    if answers.refused > MAX_SHARE * answers.n:
        yield f"{answers.refused} of {answers.n} answers decline to answer"
    if answers.alike > SAME_SHARE * answers.n:
        yield f"{answers.alike} of {answers.n} answers are one and the same text, whatever was asked"


def _unanswered(last: EvalSnapshot) -> Iterator[str]:
    if last.stats.compliance is None:
        return
    for name, units in last.stats.compliance.sets.items():
        if units.missing and units.scores:
            yield f"{len(units.missing)} of {units.n + len(units.missing)} {name} have no score, and are in no mean"


def _open_network(states: BeforeAfter) -> Iterator[str]:
    """Where the system grants neither namespaces nor seccomp, model-written code could reach the network."""
    general = states.last.stats.general
    if general is not None and general.sandbox.get("network") == "none":
        yield "model-written code ran without network isolation: this system grants no namespace and no seccomp filter"


def _other_versions(states: BeforeAfter) -> Iterator[str]:
    earlier = {**states.baseline.rescored_from, **states.last.rescored_from}
    for name, version in earlier.items():
        yield f"{name}: scored by version {states.last.versions.get(name)}; when it was asked, by version {version}"


def _obeyed(snapshot: EvalSnapshot, name: str) -> float | None:
    units = obeyed_in(snapshot, name)
    return units.mean if units is not None else None
