"""The loss against a float64 NumPy version written from the formulas, and against autograd."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from claas_assets.stack.sdpo import Options, Targets, alpha_divergence, on_support, sequence_loss

V, T = 60, 5
ALPHAS = (0.0, 0.1, 0.5, 0.9, 1.0)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def divergence(s: np.ndarray, t: np.ndarray, alpha: float) -> float:
    if alpha == 0:
        return kl(t, s)
    if alpha == 1:
        return kl(s, t)
    m = (1 - alpha) * s + alpha * t
    return (1 - alpha) * kl(s, m) + alpha * kl(t, m)


def reference(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    token_ids: np.ndarray,
    old: np.ndarray,
    base: np.ndarray,
    options: Options,
    frozen: np.ndarray | None = None,
) -> float:
    """The loss of one sequence, straight from the formulas; sums in float64.

    `frozen` holds the student logits from which support and importance ratio are taken: both are
    constants for the gradient.
    """
    s_all, t_all = np.exp(log_softmax(student_logits)), np.exp(log_softmax(teacher_logits))
    s_frozen = np.exp(log_softmax(student_logits if frozen is None else frozen))
    total = 0.0
    for t, y in enumerate(token_ids):
        support = set(np.argsort(-t_all[t])[: options.top_k]) | set(np.argsort(-s_frozen[t])[: options.top_k])
        columns = sorted(support | {int(y)})
        rest = [v for v in range(student_logits.shape[1]) if v not in columns]
        s, q = s_all[t, columns], t_all[t, columns]
        if rest:
            s, q = np.append(s, s_all[t, rest].sum()), np.append(q, t_all[t, rest].sum())
        ratio = np.exp(np.clip(np.log(s_frozen[t, y]) - old[t], -20, 20))
        u = base[t] - np.log(s_all[t, y])
        weighted = min(ratio, options.is_clip) * divergence(s, q, options.alpha)
        total += weighted + options.kl_reg_weight * (np.exp(u) - u - 1)
    return total / len(token_ids)


def example(seed: int, outside: bool = False) -> dict[str, np.ndarray]:
    """Random logits; `outside` makes the sampled tokens the least likely of both."""
    random = np.random.default_rng(seed)
    student, teacher = random.normal(0, 3, (2, T, V))
    token_ids = random.integers(0, V, T)
    if outside:
        student[np.arange(T), token_ids] = teacher[np.arange(T), token_ids] = -9.0
    sampled = log_softmax(student)[np.arange(T), token_ids]
    return {
        "student": student,
        "teacher": teacher,
        "token_ids": token_ids,
        "old": sampled + random.normal(0, 1.0, T),
        "base": sampled + random.normal(0, 0.5, T),
    }


def as_targets(data: dict[str, np.ndarray], dtype: torch.dtype = torch.float64) -> Targets:
    return Targets(
        torch.tensor(data["token_ids"]),
        torch.tensor(data["old"], dtype=dtype),
        torch.log_softmax(torch.tensor(data["teacher"], dtype=dtype), dim=-1),
        torch.tensor(data["base"], dtype=dtype),
    )


def numeric_gradient(data: dict[str, np.ndarray], options: Options, step: float = 1e-5) -> np.ndarray:
    rest = (data["teacher"], data["token_ids"], data["old"], data["base"], options, data["student"])
    gradient = np.zeros((T, V))
    for index in itertools.product(range(T), range(V)):
        values = []
        for sign in (1, -1):
            moved = data["student"].copy()
            moved[index] += sign * step
            values.append(reference(moved, *rest))
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("is_clip", [1.0, 20.0], ids=["clipped", "unclipped"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
def test_value_is_the_formula(alpha: float, is_clip: float, weight: float, outside: bool) -> None:
    data, options = example(1, outside), Options(alpha, is_clip, weight, top_k=10)
    found = sequence_loss(torch.tensor(data["student"]), as_targets(data), options)
    expected = reference(data["student"], data["teacher"], data["token_ids"], data["old"], data["base"], options)
    assert found.total.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
def test_gradient_is_the_formulas(alpha: float, outside: bool) -> None:
    data, options = example(2, outside), Options(alpha, 2.0, 0.3, top_k=10)
    logits = torch.tensor(data["student"], requires_grad=True)
    sequence_loss(logits, as_targets(data), options).total.backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), numeric_gradient(data, options), atol=1e-7)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_whole_vocabulary_equals_plain_autograd(alpha: float) -> None:
    data = example(3)
    ours = torch.tensor(data["student"], requires_grad=True)
    plain = torch.tensor(data["student"], requires_grad=True)
    targets = as_targets(data)
    found = sequence_loss(ours, targets, Options(alpha, 20.0, 0.0, top_k=V)).total
    found.backward()

    s, t = plain.softmax(-1), targets.teacher_logprobs.exp()
    m = (1 - alpha) * s + alpha * t
    ends = {0.0: (t, s, 1.0, t, t, 0.0), 1.0: (s, t, 1.0, t, t, 0.0)}
    p, q, weight_1, p2, q2, weight_2 = ends.get(alpha, (s, m, 1 - alpha, t, m, alpha))
    full = weight_1 * (p * (p / q).log()).sum(-1) + weight_2 * (p2 * (p2 / q2).log()).sum(-1)
    sampled = s.detach().log()[torch.arange(T), targets.token_ids]
    expected = ((sampled - targets.old_logprobs).exp().clamp(max=20.0) * full).mean()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-8, atol=1e-12)


def test_float32_agrees_with_float64() -> None:
    data, options = example(4), Options(0.5, 5.0, 0.1, top_k=10)
    exact = sequence_loss(torch.tensor(data["student"]), as_targets(data), options).total
    single = sequence_loss(torch.tensor(data["student"]).float(), as_targets(data, torch.float32), options).total
    assert single.item() == pytest.approx(exact.item(), rel=1e-5)


def test_a_token_only_the_student_likes_is_pushed_down() -> None:
    """The reason for the support: over the teacher's top k alone its gradient would be zero."""
    teacher, student = torch.zeros(1, 200), torch.zeros(1, 200)
    teacher[0, :20], student[0, 150] = 8.0, 10.0
    logits = student.requires_grad_()
    targets = Targets(
        torch.tensor([3]), student.log_softmax(-1)[:, 3].detach(), teacher.log_softmax(-1), torch.tensor([-5.0])
    )
    sequence_loss(logits, targets, Options(0.0, 5.0, 0.0, top_k=10)).total.backward()
    assert logits.grad is not None
    assert logits.grad[0, 150] > 0.05


def test_ratio_is_one_where_nothing_changed() -> None:
    data = example(5)
    data["old"] = log_softmax(data["student"])[np.arange(T), data["token_ids"]]
    found = sequence_loss(torch.tensor(data["student"]), as_targets(data), Options(0.0, 1.0, 0.0, 10))
    assert found.is_ratio == pytest.approx(1.0)


def test_ratio_is_capped_and_counted() -> None:
    data = example(6)
    data["old"] = data["old"] - 30
    found = sequence_loss(torch.tensor(data["student"]), as_targets(data), Options(0.0, 4.0, 0.0, 10))
    assert found.is_ratio == pytest.approx(4.0)
    assert found.clipped == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(ALPHAS), st.integers(1, V))
def test_divergence_is_never_negative_and_finite(seed: int, alpha: float, top_k: int) -> None:
    random = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, T, V, generator=random, dtype=torch.float64).mul(30).log_softmax(-1)
    parts = on_support(student, teacher, torch.randint(0, V, (T,), generator=random), top_k)
    found = alpha_divergence(*parts, alpha)
    assert torch.isfinite(found).all()
    assert (found >= -1e-9).all()
    log_s, _, weight = parts
    torch.testing.assert_close((weight * log_s.exp()).sum(-1), torch.ones(T, dtype=torch.float64))


def test_half_is_at_most_log_two() -> None:
    student = torch.tensor([[40.0] + [0.0] * (V - 1)], dtype=torch.float64).log_softmax(-1)
    parts = on_support(student, student.roll(1, -1), torch.tensor([5]), 10)
    assert alpha_divergence(*parts, 0.5).item() == pytest.approx(np.log(2), abs=1e-6)
