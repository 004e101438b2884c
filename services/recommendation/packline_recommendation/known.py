"""A bundle's tables, opened: its catalogue, the users it knows, what is popular, which items go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from packline_core.errors import BundleRejected

from packline_recommendation.identities import Identities, Texts
from packline_recommendation.layout import CONTEXTS, HISTORIES, ITEMS, NEIGHBOURS, Settings, read_settings

Floats = npt.NDArray[np.float32]


class KnownHistory(NamedTuple):
    """What a bundle knows of one user: indices of items, times, weights, newest last; items that it refused."""

    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    weights: Floats
    hidden: npt.NDArray[np.int32]


class KnownUsers:
    """The users of a bundle.

    Args:
        folder: The bundle's.
    """

    def __init__(self, folder: Path) -> None:
        table = pq.read_table(folder / HISTORIES)
        self._users = Identities(table["user"])
        columns = {name: _lists(table[name]) for name in ("items", "times", "weights", "hidden")}
        (starts, self._items), (hidden_starts, self._hidden) = columns["items"], columns["hidden"]
        for name in ("times", "weights"):
            if not np.array_equal(columns[name][0], starts):
                raise BundleRejected(f"{HISTORIES}: {name} and items differ in length", reason="TABLES_INVALID")
        self._times, self._weights = columns["times"][1], columns["weights"][1]
        self._starts, self._hidden_starts = starts.data, hidden_starts.data

    def __len__(self) -> int:
        return len(self._users)

    def find(self, user: str) -> KnownHistory | None:
        """What is known of a user."""
        row = self._users.find(user) if user else -1
        if row < 0:
            return None
        start, stop = self._starts[row], self._starts[row + 1]
        hidden = self._hidden[self._hidden_starts[row] : self._hidden_starts[row + 1]]
        return KnownHistory(self._items[start:stop], self._times[start:stop], self._weights[start:stop], hidden)


class Known:
    """Everything of a bundle but its model.

    Args:
        folder: The bundle's.

    Raises:
        BundleRejected: A table is missing or of another form.
    """

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = read_settings(folder)
        try:
            items = pq.read_table(folder / ITEMS)
            self.items = Identities(items["id"])
            self.texts = Texts(items["text"])
            self.attributes = Texts(items["attributes"])
            self.popularity: Floats = np.asarray(items["popularity"], np.float32)
            self.users = KnownUsers(folder)
            self.contexts = _contexts(folder / CONTEXTS)
            self.neighbours: npt.NDArray[np.int32] | None = None
            self.closeness: Floats | None = None
            if (folder / NEIGHBOURS).exists():
                with np.load(folder / NEIGHBOURS) as stored:
                    self.neighbours, self.closeness = stored["indices"], stored["scores"]
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise BundleRejected(f"its tables cannot be read: {error}", reason="TABLES_INVALID") from error
        if self.neighbours is not None and len(self.neighbours) != len(self.items):
            raise BundleRejected(
                f"{NEIGHBOURS} has {len(self.neighbours)} rows for {len(self.items)} items", reason="TABLES_INVALID"
            )


def _contexts(path: Path) -> dict[tuple[str, str], tuple[npt.NDArray[np.int32], Floats]]:
    if not path.exists():
        return {}
    rows = pq.read_table(path).to_pylist()
    return {
        (row["key"], row["value"]): (np.asarray(row["items"], np.int32), np.asarray(row["popularity"], np.float32))
        for row in rows
    }


def _lists(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Where each row's list starts, and all values."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # a column without rows has no chunk
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return np.asarray(whole.offsets, np.int64), whole.values.to_numpy(zero_copy_only=False)
