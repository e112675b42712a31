"""Keys and values of the sequences that are being generated.

One block of memory for all: row r holds the r-th open sequence. It grows by doubling rows and by
steps of length, and rows stay together: the last takes the place of one that is closed. A step
attends over the length that the longest open sequence needs; the rest of a shorter row is masked,
which does not change its sums (measured when the model is loaded). L is that length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 64
"""Lengths are multiples of this many tokens."""


def blocks_of(length: int) -> int:
    """`length` tokens, rounded up to whole blocks."""
    return -(-length // BLOCK) * BLOCK


@dataclass
class Place:
    """A sequence that is being generated."""

    length: int
    """Tokens in the cache."""
    row: int


class KeyValueCache:
    """All open sequences of one model."""

    def __init__(self, layers: int, kv_heads: int, head_dim: int, like: Tensor) -> None:
        self.members: list[Place] = []
        """Open sequences, in the order of their rows."""
        self.heads = kv_heads
        self._like = like
        self._layers, self._head_dim = layers, head_dim
        self.clear()

    def open(self, length: int) -> Place:
        """Room for a new sequence that will bring `length` tokens at once."""
        place = Place(length, len(self.members))
        self.members.append(place)
        self._reserve(length, len(self.members))
        return place

    def close(self, place: Place) -> None:
        """Free a sequence's row; the last row moves into the hole."""
        last = self.members.pop()
        if last is not place:
            self._store[:, :, place.row, :, : last.length] = self._store[:, :, last.row, :, : last.length]
            last.row = place.row
            self.members[last.row] = last

    def clear(self) -> None:
        """Close everything and give the memory back."""
        self.members.clear()
        self._place(self._room(0, 0))

    def fill(self, layer: int, place: Place, kv: Tensor) -> None:
        """The first tokens of a sequence: kv (T, 2 kv, D)."""
        keys, values = kv.transpose(0, 1).chunk(2)
        self.layers[layer][0, place.row, :, : len(kv)] = keys
        self.layers[layer][1, place.row, :, : len(kv)] = values

    def past(self, layer: int, rows: slice, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values (rows kv, `length`, D) of these rows, without a copy."""
        keys, values = self.layers[layer][:, rows]
        return keys.flatten(0, 1)[:, :length], values.flatten(0, 1)[:, :length]

    def next_slots(self, rows: int) -> Tensor:
        """Where each open row's next keys, then its values go in `flat`; `rows` rows will be attended to."""
        self._reserve(1 + max(place.length for place in self.members), rows)
        at = [place.row * self.heads * self._length + place.length for place in self.members]
        heads = self._length * torch.arange(self.heads)
        keys = torch.tensor(at)[:, None] + heads
        values = keys + self.flat[0].shape[0] // 2
        return torch.cat([keys, values], dim=1).flatten().to(self._like.device)

    def _reserve(self, length: int, needed: int) -> None:
        """Make room for `needed` rows, `length` tokens each."""
        rows, held = self._store.shape[2], self._length
        if needed > rows or length > held:
            more = blocks_of(max(length, held + held // 2)) if length > held else held
            self._hold(max(rows, 1 << (needed - 1).bit_length()), more)

    def _hold(self, rows: int, length: int) -> None:
        """Get a larger block of memory and copy into it what was held before."""
        store = self._room(rows, length)
        store[:, :, : self._store.shape[2], :, : self._length] = self._store
        self._place(store)

    def _room(self, rows: int, length: int) -> Tensor:
        shape = (self._layers, 2, rows, self.heads, length, self._head_dim)
        return torch.zeros(shape, dtype=self._like.dtype, device=self._like.device)

    def _place(self, store: Tensor) -> None:
        self._store, self._length = store, store.shape[4]
        self.layers = list(store.unbind())
        """For each layer (keys and values, rows, kv, L, D)."""
        self.flat = [layer.view(-1, self._head_dim) for layer in self.layers]
        """For each layer, a token's vectors in rows: (2 rows kv L, D)."""
