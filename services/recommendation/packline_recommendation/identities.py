"""Millions of ids and texts in little memory: 16 bytes an id beside its letters, where a dictionary takes a hundred."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pyarrow as pa


class Texts:
    """Texts by place, decoded when they are asked for. Thread-safe.

    Args:
        column: An Arrow column of strings, without gaps.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        # 64-bit offsets, since all texts together may be longer than 2 GiB; read directly, since Arrow's own access to
        # one value takes some microseconds.
        chunks = column.cast(pa.large_string()).chunks
        array = pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
        _, offsets, letters = array.buffers()
        self._count = len(array)
        # Of single values, a memoryview gives plain numbers several times faster than numpy does its own.
        starts = np.frombuffer(offsets, np.int64)[array.offset :] if offsets else np.zeros(1, np.int64)
        self._starts = starts.data
        self._letters = memoryview(letters) if letters else memoryview(b"")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> str:
        return str(self._letters[self._starts[place] : self._starts[place + 1]], "utf8")

    def take(self, places: Iterable[int]) -> list[str]:
        """The texts at some places."""
        starts, letters = self._starts, self._letters
        return [str(letters[starts[place] : starts[place + 1]], "utf8") for place in places]


class Identities(Texts):
    """Ids in an order, each once.

    Args:
        column: An Arrow column of strings, without gaps.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        super().__init__(column)
        hashes = np.fromiter((_hash(self[place]) for place in range(len(self))), np.uint64, len(self))
        order = np.argsort(hashes, kind="stable")
        self._order, self._hashes = order.data, hashes[order].data

    def find(self, name: str) -> int:
        """The place of an id; -1 where there is none."""
        wanted = _hash(name)
        at = bisect_left(self._hashes, wanted)
        while at < len(self._hashes) and self._hashes[at] == wanted:
            place: int = self._order[at]
            if self[place] == name:
                return place
            at += 1
        return -1


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf8", "surrogatepass"), digest_size=8).digest(), "big")
