"""Examples in Parquet files of bounded size, named by their content, read lazily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from packline_core.store import ObjectStore
from packline_core.task import Example

AREA = "examples"
# A shard is what erasing an example rewrites; a row group is what reading holds in memory.
_SHARD_BYTES = 64 << 20
_GROUP_BYTES = 8 << 20
_GROUP_ROWS = 10_000
_TEXT = ("key", "truth", "group", "source")
_SCHEMA = pa.schema([("payload", pa.binary()), *((name, pa.string()) for name in _TEXT)])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example lies: a shard's name in the store, and its row."""

    shard: str
    row: int


class ShardWriter:
    """Writes examples into shards, a row group's worth in memory at a time.

    Args:
        store: Where the shards go.
        folder: Where they are written first; emptied as they are stored.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self._store = store
        self._path = folder / "shard.parquet"
        self._writer: Any = None
        self._waiting: list[Example] = []
        self._waiting_bytes = 0
        self._keys: list[str] = []
        self._bytes = 0

    def add(self, example: Example) -> Iterator[tuple[str, Place]]:
        """Takes one example; gives the keys and places of those whose shard is in the store by now."""
        self._waiting.append(example)
        self._waiting_bytes += len(example.payload) + len(example.truth)
        if self._waiting_bytes >= _GROUP_BYTES or len(self._waiting) >= _GROUP_ROWS:
            self._write_group()
        if self._bytes >= _SHARD_BYTES:
            yield from self.finish()

    def finish(self) -> Iterator[tuple[str, Place]]:
        """Stores what is left; gives keys and places as `add` does."""
        self._write_group()
        if self._writer is None:
            return
        self._writer.close()
        name = self._store.put_file(AREA, self._path)
        self._path.unlink()
        keys, self._keys, self._writer, self._bytes = self._keys, [], None, 0
        for row, key in enumerate(keys):
            yield key, Place(name, row)

    def _write_group(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, _SCHEMA, compression="zstd")
        columns = {name: [getattr(example, name) for example in self._waiting] for name in _SCHEMA.names}
        self._writer.write_table(pa.table(columns, schema=_SCHEMA))
        self._keys += [example.key for example in self._waiting]
        self._bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0


def read_shard(store: ObjectStore, name: str) -> Iterator[Example]:
    """All examples of a shard in order, one row group in memory at a time. Raises `NotFound`."""
    with store.open(name) as stream, pq.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield Example(**row)


class StoredExamples:
    """A set of examples in shards (`packline_core.task.Examples`), which travels between processes as names and rows.

    Args:
        url: The store's URL.
        places: Where each example lies, ordered by shard and row.
    """

    def __init__(self, url: str, places: Sequence[Place]) -> None:
        self._url = url
        self._rows: dict[str, set[int]] = {}
        for place in places:
            self._rows.setdefault(place.shard, set()).add(place.row)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def __iter__(self) -> Iterator[Example]:
        if not self._rows:
            return
        store = ObjectStore(self._url)
        for shard, rows in self._rows.items():
            for row, example in enumerate(read_shard(store, shard)):
                if row in rows:
                    yield example
