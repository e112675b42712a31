"""How fast an evaluation could be at all: a lower bound from latencies, dependencies and the concurrency limit.

What depends on what, within a preference of N steps:

    adapter → phase 0 → feedback 0 → phase 1 → … → feedback N-1 → phase N

Phase 0 is the baseline's probes side by side with the rollouts of step 0, phase k the probes of step k-1
side by side with the rollouts of step k (the last has no rollouts). Feedback runs alone within its
preference. How many requests of which kind a phase has is counted in what the fake saw, so nothing that
was asked is left out, and nothing that need not have been asked is forgiven.

A phase of c chats and s scores with at most L requests in flight takes at least

    max(the longest of them, (c·chat_s + s·score_s) / L, ⌈c / L⌉·chat_s)

(list scheduling: the longest chain, all the work over the slots, equal jobs in rounds). A preference takes
the sum of its phases and its feedback calls. Between preferences:

    tinker   one sampler: the sum of the preferences
    modal    side by side: max(the longest preference, all chats and scores / L)
    local    as modal, and feedback one at a time: max(…, the shortest phase 0 + all feedback + the shortest last phase)

L is the limit per deployment. It is a bound that no schedule beats, not one that a schedule need reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from claas_assets.wire import model_name
from tests.fake_claas.recorder import Span

CHAT, SCORE, FEEDBACK, INIT = "/v1/chat/completions", "/v1/score", "/v1/feedback", "/v1/lora/init"


@dataclass
class Phase:
    """Requests that may run side by side."""

    chats: int = 0
    scores: int = 0


@dataclass
class PreferenceRun:
    """What was seen of one preference: `phases` has one more entry than `feedback` (their seconds).

    `began` and `ended`: of its first and last request; `steps_s`: from its first feedback call to the end of
    its last one: N feedback calls and the N-1 phases between them.
    """

    adapter: str
    phases: list[Phase] = field(default_factory=lambda: [Phase()])
    feedback: list[Span] = field(default_factory=list)
    began: float = math.inf
    ended: float = 0.0

    @property
    def steps_s(self) -> float:
        return (self.feedback[-1].ended or 0.0) - self.feedback[0].began


@dataclass(frozen=True)
class Limits:
    """`latency_s` by path, and the limit of requests in flight per deployment."""

    latency_s: dict[str, float]
    in_flight: int

    def work(self, phase: Phase) -> float:
        return phase.chats * self.latency_s[CHAT] + phase.scores * self.latency_s[SCORE]

    def least(self, phase: Phase) -> float:
        chat, score = self.latency_s[CHAT], self.latency_s[SCORE]
        longest = chat if phase.chats else score if phase.scores else 0.0
        return max(longest, self.work(phase) / self.in_flight, math.ceil(phase.chats / self.in_flight) * chat)


def runs_seen(spans: Sequence[Span]) -> list[PreferenceRun]:
    """The preferences of an evaluation, told apart by the adapter that each request names."""
    runs: dict[str, PreferenceRun] = {}
    for span in spans:
        adapter = _adapter(span)
        if adapter is None:
            continue
        run = runs.setdefault(adapter, PreferenceRun(adapter))
        run.began, run.ended = min(run.began, span.began), max(run.ended, span.ended or 0.0)
        if span.request.path == FEEDBACK:
            run.feedback.append(span)
            run.phases.append(Phase())
        elif span.request.path == CHAT:
            run.phases[-1].chats += 1
        else:
            run.phases[-1].scores += 1
    return list(runs.values())


def _adapter(span: Span) -> str | None:
    body = span.request.body
    if span.request.path in (CHAT, SCORE):
        return str(body["model"])
    if span.request.path == FEEDBACK:
        return model_name(body["requests"][0]["lora_id"])
    return None


def least_of_preference(run: PreferenceRun, limits: Limits) -> float:
    return sum(map(limits.least, run.phases)) + len(run.feedback) * limits.latency_s[FEEDBACK]


def least_of_steps(run: PreferenceRun, limits: Limits) -> float:
    """Of `steps_s`: without the first and the last phase."""
    return sum(map(limits.least, run.phases[1:-1])) + len(run.feedback) * limits.latency_s[FEEDBACK]


def least_of_all(runs: Sequence[PreferenceRun], limits: Limits, mode: str) -> float:
    each = [least_of_preference(run, limits) for run in runs]
    if mode == "tinker":
        return sum(each)
    work = sum(limits.work(phase) for run in runs for phase in run.phases)
    bounds = [*each, work / limits.in_flight]
    if mode == "local":
        feedback = sum(len(run.feedback) for run in runs) * limits.latency_s[FEEDBACK]
        first = min(limits.least(run.phases[0]) for run in runs)
        last = min(limits.least(run.phases[-1]) for run in runs)
        bounds.append(first + feedback + last)
    return max(bounds)
