"""The general metric: which probes it names, and what it makes of whole, missing and hostile transcripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import pytest

from claas_assets.evaluation.metrics import capability
from claas_assets.evaluation.metrics.base import MetricScore, Transcripts
from claas_assets.evaluation.metrics.capability import load_capability
from claas_assets.evaluation.metrics.general import GeneralMetric
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.sandbox import runner as sandbox
from claas_assets.evaluation.storage.records import (
    GeneralScores,
    GeneralStats,
    Message,
    SnapshotSize,
    Transcript,
    TranscriptMetadata,
    Unmeasured,
)

PREFERENCE = Preference(
    name="test",
    feedback_string="Be brief.",
    verifier={"_target_": "claas_assets.evaluation.preferences.verifiers.NoEmojiVerifier"},
    logprob_pairs=(
        {"prompt_messages": [{"role": "user", "content": "Hi"}], "positive_response": "a", "negative_response": "b"},
    ),
    probe_prompts=("Hi",),
)
CONTEXT = ScoringContext(preference=PREFERENCE, baseline=None)
CAPABILITY = load_capability()
N = len(CAPABILITY.items)
KINDS_OF = Counter(item.kind for item in CAPABILITY.items)
ANSWERS = {
    **{f"general/seed/{item.id}": item for item in CAPABILITY.public_probes},
    **{f"general/items/{item.id}": item for item in CAPABILITY.items},
}
TIMEOUT = Unmeasured(kind="failed", reason="no answer within 60 s")


def plan(size: SnapshotSize, max_tokens: int = 256) -> ProbePlan:
    return ProbePlan(
        preference=PREFERENCE, size=size, step=0, collapse_due=False, seed=1, max_tokens=max_tokens
    )  # fmt: skip


def transcript(key: str, answer: str | None, error: Unmeasured | None = None, **metadata: Any) -> Transcript:
    messages = [Message(role="user", content=ANSWERS[key].prompt)]
    if answer is not None:
        messages.append(Message(role="assistant", content=answer))
    known = TranscriptMetadata(key=key, kind="generate", error=error, **metadata)
    return Transcript(metric="general", messages=messages, metadata=known)


def asked(size: SnapshotSize, **instead: Transcript | None) -> list[Transcript]:
    """The probes of a snapshot, answered with each item's reference but for those given by id (None: not there)."""
    keys = [probe.key for probe in GeneralMetric().probes(plan(size))]
    answered = {key.rsplit("/", 1)[1]: transcript(key, ANSWERS[key].reference) for key in keys}
    return [found for found in {**answered, **instead}.values() if found is not None]


def score(transcripts: Iterable[Transcript]) -> tuple[GeneralScores, GeneralStats, dict[str, Unmeasured]]:
    found = GeneralMetric().score(Transcripts(transcripts), CONTEXT)
    assert isinstance(found.stats, GeneralStats)
    return found.fields["general"], found.stats, dict(found.unmeasured)


# --- probes ---------------------------------------------------------------------------------------


def test_light_asks_the_public_probes_and_full_the_items_too() -> None:
    light, full = (GeneralMetric().probes(plan(size)) for size in ("light", "full"))
    assert [probe.key for probe in light] == [
        "general/seed/fibonacci", "general/seed/three_sentences",
        "general/seed/five_benefits", "general/seed/recursion",
    ]  # fmt: skip
    assert full[:4] == light
    assert [probe.key for probe in full[4:]] == [f"general/items/{item.id}" for item in CAPABILITY.items]
    assert len(full) == 4 + N


def test_probes_are_greedy_without_a_system_message() -> None:
    for probe in GeneralMetric().probes(plan("full")):
        assert probe.temperature == 0.0
        assert [role for role, _ in probe.messages] == ["user"]


@pytest.mark.parametrize("limit", [16, 256, 2048])
def test_no_probe_exceeds_the_plan(limit: int) -> None:
    budgets = [probe.max_tokens or 0 for probe in GeneralMetric().probes(plan("full", limit))]
    assert max(budgets) == limit
    assert min(budgets) >= min(limit, 48)


# --- scores ---------------------------------------------------------------------------------------


def test_the_reference_answers_score_one() -> None:
    scores, stats, unmeasured = score(asked("full"))
    assert scores == GeneralScores(
        coding_correct=True, coding_has_docstring=True, ifeval_pass_rate=1.0, general_score=1.0
    )
    assert stats.items is not None
    assert stats.items_strict is not None
    assert (stats.public_probes.n, stats.items.n, stats.items.mean, stats.items_strict.mean) == (4, N, 1.0, 1.0)
    assert stats.items.interval is not None
    assert stats.items.interval.method == "wilson"
    assert stats.by_kind == {"code": 1.0, "instruction": 1.0, "arithmetic": 1.0, "fact": 1.0, "extraction": 1.0}
    assert stats.items_version == CAPABILITY.version
    assert unmeasured == {}


def test_light_probes_alone_leave_the_items_unasked() -> None:
    _, stats, unmeasured = score(asked("light"))
    assert (stats.items, stats.items_strict, stats.by_kind) == (None, None, {})
    assert unmeasured == {}


def test_empty_answers_are_measured_and_pass_nothing() -> None:
    scores, stats, unmeasured = score(transcript(key, "") for key in ANSWERS)
    assert scores == GeneralScores(
        coding_correct=False, coding_has_docstring=False, ifeval_pass_rate=0.0, general_score=0.0
    )
    assert stats.items is not None
    assert (stats.items.mean, stats.items.n, unmeasured) == (0.0, N, {})


@pytest.mark.parametrize(
    ("unit", "general"), [("fibonacci", 0.5), ("three_sentences", 0.5 + 1 / 3), ("recursion", 0.5 + 1 / 3)]
)
def test_the_score_is_half_coding_half_instructions(unit: str, general: float) -> None:
    wrong = transcript(f"general/seed/{unit}", ANSWERS[f"general/seed/{unit}"].wrong)
    scores, stats, _ = score(asked("light", **{unit: wrong}))
    assert scores.general_score == pytest.approx(general)
    assert stats.public_probes.passed[unit] is False
    assert stats.public_probes.mean == 0.75


def test_code_without_docstring() -> None:
    answer = "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a"
    scores, _, _ = score(asked("light", fibonacci=transcript("general/seed/fibonacci", answer)))
    assert (scores.coding_correct, scores.coding_has_docstring) == (True, False)


def test_one_wrong_item_lowers_its_kind_alone() -> None:
    key = "general/items/fact_capital_of_france"
    _, stats, _ = score(asked("full", fact_capital_of_france=transcript(key, "Lyon", truncated=True)))
    assert stats.items is not None
    assert stats.items.mean == pytest.approx(1 - 1 / N)
    assert stats.by_kind["fact"] == pytest.approx(1 - 1 / KINDS_OF["fact"])
    assert stats.by_kind["code"] == 1.0
    assert "Lyon" in stats.items.details["fact_capital_of_france"]
    assert stats.items.truncated == 1


def test_strict_and_loose_are_kept_apart() -> None:
    key = "general/items/instruction_lower_case"
    answer = "Sure! Here it is:\nthe moon goes around the earth."
    _, stats, _ = score(asked("full", instruction_lower_case=transcript(key, answer)))
    assert stats.items is not None
    assert stats.items_strict is not None
    assert stats.items.passed["instruction_lower_case"] is True
    assert stats.items_strict.passed["instruction_lower_case"] is False


def test_scoring_again_gives_the_same() -> None:
    transcripts = Transcripts(asked("full"))
    first = GeneralMetric().score(transcripts, CONTEXT)
    capability._run_once.cache_clear()  # every program runs again
    assert GeneralMetric().score(transcripts, CONTEXT) == first


# --- what is missing ------------------------------------------------------------------------------


def test_no_transcripts_are_no_fields_and_no_complaint() -> None:
    assert GeneralMetric().score(Transcripts([]), CONTEXT) == MetricScore()


KINDS: list[Literal["unavailable", "failed"]] = ["unavailable", "failed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_coding_probe_is_null_with_its_reason(kind: Literal["unavailable", "failed"]) -> None:
    error = Unmeasured(kind=kind, reason="no answer within 60 s")
    scores, stats, unmeasured = score(
        asked("light", fibonacci=transcript("general/seed/fibonacci", None, error))
    )  # fmt: skip
    assert scores == GeneralScores(
        coding_correct=None, coding_has_docstring=None, ifeval_pass_rate=1.0, general_score=None
    )
    assert unmeasured == dict.fromkeys(
        ("general.coding_correct", "general.coding_has_docstring", "general.general_score"), error
    )
    assert stats.public_probes.missing == {"fibonacci": error.reason}
    assert stats.public_probes.n == 3


def test_a_missing_instruction_probe_leaves_no_rate() -> None:
    scores, _, unmeasured = score(asked("light", recursion=None))
    assert (scores.coding_correct, scores.ifeval_pass_rate, scores.general_score) == (True, None, None)
    assert set(unmeasured) == {"general.ifeval_pass_rate", "general.general_score"}
    assert unmeasured["general.ifeval_pass_rate"].kind == "failed"


def test_a_failed_item_is_in_no_mean() -> None:
    lost = {name: transcript(f"general/items/{name}", None, TIMEOUT) for name in ("code_add", "code_is_even")}
    _, stats, unmeasured = score(asked("full", **lost))
    assert stats.items is not None
    assert (stats.items.n, stats.items.mean) == (N - 2, 1.0)
    assert set(stats.items.missing) == {"code_add", "code_is_even"}
    assert stats.items.missing["code_add"] == TIMEOUT.reason
    assert unmeasured == {}


def test_all_items_failed_is_unmeasured() -> None:
    failed = {key.rsplit("/", 1)[1]: transcript(key, None, TIMEOUT) for key in ANSWERS if "/items/" in key}
    _, stats, unmeasured = score(asked("full", **failed))
    assert stats.items is not None
    assert (stats.items.n, stats.items.mean, set(stats.by_kind.values())) == (0, None, {None})
    assert unmeasured["general.items"].kind == "failed"


def test_an_item_that_was_asked_otherwise_is_not_scored_by_todays_check() -> None:
    key = "general/items/arithmetic_7_plus_5"
    old = Transcript(
        metric="general",
        messages=[Message(role="user", content="What is 7 + 6?"), Message(role="assistant", content="13")],
        metadata=TranscriptMetadata(key=key, kind="generate"),
    )
    _, stats, _ = score(asked("full", arithmetic_7_plus_5=old))
    assert stats.items is not None
    assert "another prompt" in stats.items.missing["arithmetic_7_plus_5"]


def test_no_sandbox_is_failed_not_false(monkeypatch: pytest.MonkeyPatch) -> None:
    capability._run_once.cache_clear()
    monkeypatch.setattr("claas_assets.evaluation.metrics.capability.run_function", _unavailable)
    scores, stats, unmeasured = score(asked("full"))
    assert (scores.coding_correct, scores.coding_has_docstring, scores.general_score) == (None, None, None)
    assert unmeasured["general.coding_correct"].kind == "failed"
    assert "no process" in unmeasured["general.coding_correct"].reason
    assert stats.items is not None
    assert (stats.items.n, stats.by_kind["code"], stats.sandbox) == (N - KINDS_OF["code"], None, {})


def _unavailable(*args: object, **kwargs: object) -> sandbox.SandboxResult:
    return sandbox.SandboxResult("unavailable", "no process can be started")


# --- hostile code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import os\ndef fibonacci(n): os._exit(0)",
        "class Yes(int):\n    __eq__ = lambda self, other: True\ndef fibonacci(n): return Yes(7)",
        "def fibonacci(n): print('coding_correct: true')",
        "raise SystemExit(0)",
    ],
)
def test_a_hostile_program_is_wrong_and_nothing_more(code: str) -> None:
    answer = transcript("general/seed/fibonacci", f"```python\n{code}\n```")
    scores, _, unmeasured = score(asked("light", fibonacci=answer))
    assert (scores.coding_correct, scores.ifeval_pass_rate, unmeasured) == (False, 1.0, {})


def test_the_stats_say_how_the_programs_were_closed_in() -> None:
    _, stats, _ = score(asked("light", fibonacci=transcript("general/seed/fibonacci", "import os\nos._exit(1)\n")))
    assert stats.sandbox["programs"] == 1
    assert stats.sandbox["ended"] == {"invalid": 1}
    assert stats.sandbox["network"] in ("bwrap", "unshare", "seccomp", "none")


def test_the_stats_survive_their_file() -> None:
    _, stats, _ = score(asked("full"))
    assert GeneralStats.model_validate_json(stats.model_dump_json()) == stats
