"""All rows are sampled at once; each gets what it would get alone."""

from __future__ import annotations

import pytest
import torch

from claas_assets.stack.sampling import Sampled, Sampler, sample

ROWS, VOCABULARIES = 13, (3, 256, 1000, 4096)


def samplers(top_logprobs: int = 0) -> list[Sampler]:
    """Greedy, warm and nucleus sampling mixed; only every third asks for the likeliest tokens."""
    return [
        Sampler.make((0.0, 0.7, 1.0, 1.3)[row % 4], (1.0, 0.8)[row % 5 == 0], top_logprobs * (row % 3 == 0), row)
        for row in range(ROWS)
    ]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_a_row_does_not_depend_on_the_others(vocabulary: int) -> None:
    logits = 3 * torch.randn(ROWS, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    together = sample(logits, samplers(20))
    alone = [sample(logits[row : row + 1], [sampler])[0] for row, sampler in enumerate(samplers(20))]
    assert together == alone


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_likeliest_tokens_are_those_of_a_full_sort(vocabulary: int) -> None:
    logits = torch.randn(2, vocabulary, generator=torch.Generator().manual_seed(1))
    logprobs, ids = logits.log_softmax(-1).sort(descending=True)
    for row, sampled in enumerate(sample(logits, [Sampler.make(0.0, 1.0, 20, 0)] * 2)):
        assert sampled.token_id == ids[row, 0]
        assert sampled.logprob == pytest.approx(logprobs[row, 0].item(), abs=1e-5)
        assert [token for token, _ in sampled.top] == ids[row, :20].tolist()
        assert [value for _, value in sampled.top] == pytest.approx(logprobs[row, :20].tolist(), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_draws_follow_the_distribution(temperature: float) -> None:
    """20,000 draws over two blocks: no frequency is off by more than five standard errors."""
    logits = torch.full((600,), -9.0)
    logits[torch.tensor([0, 5, 255, 256, 511, 512, 599])] = torch.tensor([1.0, 0.5, 1.5, 1.0, -0.5, 0.0, 0.7])
    sampler = Sampler.make(temperature, 1.0, 0, 7)
    draws = [s.token_id for _ in range(40) for s in sample(logits.expand(500, -1), [sampler] * 500)]
    expected = torch.softmax(logits / temperature, dim=-1)
    frequency = torch.bincount(torch.tensor(draws), minlength=600) / len(draws)
    error = (expected * (1 - expected) / len(draws)).sqrt()
    assert ((frequency - expected).abs() <= 5 * error + 1e-3).all()


def test_tokens_that_cannot_be_are_never_drawn() -> None:
    logits = torch.full((1, 1024), float("-inf"))
    logits[0, [300, 1023]] = 0.0
    drawn = {sample(logits, [Sampler.make(1.0, 1.0, 0, seed)])[0].token_id for seed in range(60)}
    assert drawn == {300, 1023}


def test_a_nucleus_leaves_out_the_unlikely() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    found: list[Sampled] = [sample(logits, [Sampler.make(1.0, 0.85, 0, seed)])[0] for seed in range(60)]
    assert {sampled.token_id for sampled in found} == {0, 1}
