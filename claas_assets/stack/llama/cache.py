"""Keys and values of the sequences that are being generated.

A sequence's row is as long as a function of its own length says, so that its attention adds up the
same whatever else is open. Sequences with one padded length share a pool. L is a padded length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

LENGTHS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


def padded_length(length: int) -> int:
    """The cache length for a sequence of `length` tokens: a function of that length alone."""
    for padded in LENGTHS:
        if length <= padded:
            return padded
    return -(-length // 4096) * 4096


@dataclass
class Place:
    """A sequence that is being generated: where its keys and values lie."""

    length: int  # tokens in the cache
    pool: Pool
    row: int


@dataclass
class Pool:
    """Keys and values of all sequences with one padded length, rows 0..len(members) in use."""

    padded: int
    keys: list[Tensor] = field(default_factory=list)  # a layer: (capacity, kv, L, D)
    values: list[Tensor] = field(default_factory=list)
    members: list[Place] = field(default_factory=list)


class KeyValueCache:
    """All pools of one model."""

    def __init__(self, layers: int, kv_heads: int, head_dim: int, like: Tensor) -> None:
        self.layers, self.kv_heads, self.head_dim = layers, kv_heads, head_dim
        self.dtype, self.device = like.dtype, like.device
        self.pools: dict[int, Pool] = {}

    def open(self, length: int) -> Place:
        """Room for a new sequence in the pool of its padded length."""
        padded = padded_length(length)
        pool = self.pools.setdefault(padded, Pool(padded))
        if not pool.keys or len(pool.members) == len(pool.keys[0]):
            self._grow(pool)
        sequence = Place(length, pool, len(pool.members))
        pool.members.append(sequence)
        return sequence

    def make_room(self, sequence: Place) -> None:
        """Move a sequence whose cache is full to the pool of the next padded length."""
        if sequence.length < sequence.pool.padded:
            return
        old_pool, old_row = sequence.pool, sequence.row
        new = self.open(sequence.length + 1)
        for old, fresh in ((old_pool.keys, new.pool.keys), (old_pool.values, new.pool.values)):
            for source, target in zip(old, fresh, strict=True):
                target[new.row, :, : old_pool.padded] = source[old_row]
        self.close(sequence)
        sequence.pool, sequence.row = new.pool, new.row
        new.pool.members[new.row] = sequence

    def close(self, sequence: Place) -> None:
        """Free a sequence's place; the last row of its pool moves into the hole."""
        pool = sequence.pool
        last = pool.members.pop()
        if last is not sequence:
            _move(last, pool, sequence.row)
            pool.members[sequence.row] = last

    def _grow(self, pool: Pool) -> None:
        """Double a pool's capacity (from one row), keeping what is in it."""
        old = len(pool.keys[0]) if pool.keys else 0
        shape = (max(1, 2 * old), self.kv_heads, pool.padded, self.head_dim)
        for name in ("keys", "values"):
            grown = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(self.layers)]
            for source, target in zip(getattr(pool, name), grown, strict=False):
                target[:old] = source
            setattr(pool, name, grown)


def _move(sequence: Place, pool: Pool, row: int) -> None:
    """Copy a sequence's keys and values to another row of its pool."""
    for tensors in (pool.keys, pool.values):
        for tensor in tensors:
            tensor[row] = tensor[sequence.row]
    sequence.row = row
