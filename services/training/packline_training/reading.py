"""Reads labelled examples with the Pack's task into shards, and lists what it found: the first half of an import.

It runs in a process of its own (`worker`): tasks bring heavy libraries, and a broken file must not harm the service.
Nothing counts before the second half (`Datasets.commit`) has committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packline_core.store import ObjectStore
from packline_core.task import BadRow, Example, Remembering, State, get_task

from packline_training.shards import Place, ShardWriter
from packline_training.splitting import is_golden, truth_digest

MOST_BAD_ROWS = 100
_CATALOGUE = """
CREATE TABLE found (key TEXT PRIMARY KEY, truth TEXT, golden INTEGER, source TEXT, shard TEXT, row INTEGER);
CREATE TABLE known (key TEXT, truth TEXT, golden INTEGER, PRIMARY KEY (key, truth));
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reading found: the catalogue's file, counts, and the first hundred bad rows."""

    catalogue: Path
    examples: int
    unchanged: int
    bad_row_count: int
    bad_rows: tuple[BadRow, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "catalogue": str(self.catalogue)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Reading:
        """Reads what `to_json` gave."""
        rows = tuple(BadRow(**row) for row in raw["bad_rows"])
        return cls(**{**raw, "catalogue": Path(raw["catalogue"]), "bad_rows": rows})


def new_catalogue(path: Path, known: Iterable[tuple[str, str, bool]]) -> None:
    """Starts a catalogue with the (key, truth digest, golden) of the labels that are nothing new to the dataset."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_CATALOGUE)
        database.executemany("INSERT INTO known VALUES (?, ?, ?)", known)


def found_in(catalogue: Path) -> Iterator[tuple[str, str, bool, Place]]:
    """Key, truth digest, golden and place of every new or changed example, by key."""
    with closing(sqlite3.connect(catalogue)) as database:
        query = "SELECT key, truth, golden, shard, row FROM found WHERE shard IS NOT NULL ORDER BY key"
        for key, truth, golden, shard, row in database.execute(query):
            yield key, truth, bool(golden), Place(shard, row)


def read_examples(
    examples: Iterable[Example | BadRow], catalogue: Path, store: ObjectStore, golden_share: float
) -> Reading:
    """Writes new and changed examples into shards, training and golden ones apart, and lists them in the catalogue.

    Of two labels for one key the later holds, and the earlier is reported as a bad row. An example that the dataset
    holds with the same label is counted and left alone.

    Args:
        examples: What the task read.
        catalogue: Made by `new_catalogue`; the shards are written beside it first.
        store: Where the shards go.
        golden_share: Share of keys that are kept for judging, 0 to 1; a key known already stays in its part.
    """
    bad = _BadRows()
    seen = 0
    with closing(sqlite3.connect(catalogue)) as database, database:
        writers = {}
        for golden in (False, True):
            folder = catalogue.parent / ("golden" if golden else "training")
            folder.mkdir()
            writers[golden] = ShardWriter(store, folder)

        def placed(places: Iterable[tuple[str, Place]]) -> None:
            rows = [(place.shard, place.row, key) for key, place in places]
            database.executemany("UPDATE found SET shard = ?, row = ? WHERE key = ?", rows)

        for item in examples:
            if isinstance(item, BadRow):
                bad.add(item)
                continue
            seen += 1
            part = _note(database, item, golden_share, bad)
            if part is not None:
                placed(writers[part].add(item))
        for writer in writers.values():
            placed(writer.finish())
        # A key whose last label is the one known already has not changed, whatever came between.
        database.execute(
            "UPDATE found SET shard = NULL WHERE EXISTS "
            "(SELECT 1 FROM known WHERE known.key = found.key AND known.truth = found.truth)"
        )
        (unchanged,) = database.execute("SELECT count(*) FROM found WHERE shard IS NULL").fetchone()
        (keys,) = database.execute("SELECT count(*) FROM found").fetchone()
    return Reading(catalogue, keys, unchanged + seen - keys - bad.contradictions, bad.count, tuple(bad.first))


class _BadRows:
    def __init__(self) -> None:
        self.count = 0
        self.contradictions = 0
        self.first: list[BadRow] = []

    def add(self, row: BadRow) -> None:
        self.count += 1
        if len(self.first) < MOST_BAD_ROWS:
            self.first.append(row)


def _note(database: sqlite3.Connection, example: Example, share: float, bad: _BadRows) -> bool | None:
    """Lists an example; gives the part that it has to be written to, None where nothing has to be."""
    key, truth = example.key, truth_digest(example)
    earlier = database.execute("SELECT truth, golden, source FROM found WHERE key = ?", (key,)).fetchone()
    if earlier is not None and earlier[0] == truth:
        return None
    # Of several labels that are known, all are of the key's one part.
    known = dict(database.execute("SELECT truth, golden FROM known WHERE key = ?", (key,)))
    if earlier is not None:
        bad.contradictions += 1
        words = f"contradicts {example.source}, which labels the same input and came later; that label holds"
        bad.add(BadRow(earlier[2], 0, words))
    golden = bool(next(iter(known.values()))) if known else is_golden(example, share)
    database.execute(
        "INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, NULL, NULL)", (key, truth, golden, example.source)
    )
    return None if truth in known else golden


def read_folder(task: str, source: str, catalogue: str, store: str, golden_share: float) -> dict[str, Any]:
    """Reads a folder or file with a task: `read_examples` for a process of its own."""
    examples = get_task(task).read(Path(source))
    return read_examples(examples, Path(catalogue), ObjectStore(store), golden_share).to_json()


def read_state(task: str, state: Mapping[str, str], catalogue: str, store: str, golden_share: float) -> dict[str, Any]:
    """Reads what a Pack's state holds, with a task that keeps one: `read_examples` for a process of its own."""
    plugin = get_task(task)
    examples = plugin.recorded(State(**state)) if isinstance(plugin, Remembering) else ()
    return read_examples(examples, Path(catalogue), ObjectStore(store), golden_share).to_json()


def forget_state(task: str, state: Mapping[str, str]) -> dict[str, Any]:
    """Removes a Pack's state, with a task that keeps one, in a process of its own."""
    plugin = get_task(task)
    if isinstance(plugin, Remembering):
        plugin.forget(State(**state))
    return {}
