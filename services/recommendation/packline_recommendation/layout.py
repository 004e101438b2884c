"""What a recommendation bundle holds, and how it is written and read.

| file | what it is |
|---|---|
| `model.onnx` | `items` int64 (batch, length): item index + 1, 0 is padding, newest last; `weights`, `ages` float32 (batch, length): an event's weight, seconds before now (where the log has no clock, how many of the user's events came later); `allowed` bool (batch or 1, catalogue); `k` int64 (1,) -> `scores` float32 (batch, k), `indices` int64 (batch, k), best first; what is not allowed scores -inf |
| `recommendation.json` | `Settings` |
| `items.parquet` | id, text, attributes (JSON), popularity float32 (recent events count more), events int64; row = item index |
| `histories.parquet` | user, items list<int32> (indices), times list<int64>, weights list<float32>, hidden list<int32>; newest last, at most 200 |
| `contexts.parquet` | key, value, items list<int32>, popularity list<float32>: what is popular among users of one context; may be empty |
| `neighbours.npz` | `indices` int32 (catalogue, m), -1 where there are fewer, `scores` float32 (catalogue, m): items often taken by the same users |
| `references/*.json` | queries (`examples.query_payload`) |

The bundle of base `popular` has no model, and a catalogue without items.
"""  # noqa: E501 - a table

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from packline_core.errors import BundleRejected

MODEL, SETTINGS, ITEMS = "model.onnx", "recommendation.json", "items.parquet"
HISTORIES, CONTEXTS, NEIGHBOURS, REFERENCES = "histories.parquet", "contexts.parquet", "neighbours.npz", "references"

_ITEMS = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("attributes", pa.string()),
        ("popularity", pa.float32()),
        ("events", pa.int64()),
    ]
)
_HISTORIES = pa.schema(
    [
        ("user", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("times", pa.list_(pa.int64())),
        ("weights", pa.list_(pa.float32())),
        ("hidden", pa.list_(pa.int32())),
    ]
)
_CONTEXTS = pa.schema(
    [
        ("key", pa.string()),
        ("value", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("popularity", pa.list_(pa.float32())),
    ]
)
_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `recommendation.json`.

    Attributes:
        family: Who scores, for people: `ease`, `sasrec`, `blend`, …; `popular` where there is no model.
        length: Events of a history that the model takes, the newest ones.
        timed: Whether times are seconds since 1970; otherwise they only order a user's events.
        repeats: Whether items that the user has already may come back.
        newest: Time of the newest event that training saw; 0 without events.
    """

    family: str
    length: int
    timed: bool
    repeats: bool
    newest: int = 0


@dataclass(frozen=True, slots=True)
class KnownUser:
    """One row of `histories.parquet`."""

    user: str
    items: Sequence[int]
    times: Sequence[int]
    weights: Sequence[float]
    hidden: Sequence[int] = ()


def write_settings(settings: Settings, folder: Path) -> None:
    """Writes `recommendation.json`."""
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf8")


def read_settings(folder: Path) -> Settings:
    """Reads `recommendation.json`; raises `BundleRejected`."""
    try:
        return Settings(**json.loads((folder / SETTINGS).read_text(encoding="utf8")))
    except (OSError, ValueError, TypeError) as error:
        raise BundleRejected(
            f"{SETTINGS} does not describe a recommender: {error}", reason="SETTINGS_INVALID"
        ) from error


def write_items(
    folder: Path,
    *,
    ids: Sequence[str],
    texts: Sequence[str],
    attributes: Sequence[Mapping[str, str]],
    popularity: npt.NDArray[np.float32],
    events: npt.NDArray[np.int64],
) -> None:
    """Writes `items.parquet`; all sequences have one entry an item, in the order of their indices."""
    columns = {
        "id": list(ids),
        "text": list(texts),
        "attributes": [json.dumps(dict(one), ensure_ascii=False, sort_keys=True) for one in attributes],
        "popularity": np.asarray(popularity, np.float32),
        "events": np.asarray(events, np.int64),
    }
    pq.write_table(pa.table(columns, schema=_ITEMS), folder / ITEMS, compression="zstd")


def write_histories(folder: Path, users: Iterable[KnownUser]) -> None:
    """Writes `histories.parquet`, some thousand users in memory at a time."""
    with pq.ParquetWriter(folder / HISTORIES, _HISTORIES, compression="zstd") as writer:
        batch: list[KnownUser] = []
        for user in users:
            batch.append(user)
            if len(batch) == _ROWS:
                writer.write_table(_histories(batch))
                batch = []
        writer.write_table(_histories(batch))


def write_contexts(folder: Path, popular: Mapping[tuple[str, str], tuple[Sequence[int], Sequence[float]]]) -> None:
    """Writes `contexts.parquet`: for each (key, value) the item indices that are popular there, and how much."""
    columns = {
        "key": [key for key, _ in popular],
        "value": [value for _, value in popular],
        "items": [list(items) for items, _ in popular.values()],
        "popularity": [list(counts) for _, counts in popular.values()],
    }
    pq.write_table(pa.table(columns, schema=_CONTEXTS), folder / CONTEXTS, compression="zstd")


def write_neighbours(folder: Path, indices: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> None:
    """Writes `neighbours.npz`."""
    np.savez(folder / NEIGHBOURS, indices=indices.astype(np.int32), scores=scores.astype(np.float32))


def _histories(batch: Sequence[KnownUser]) -> pa.Table:
    columns = {name: [getattr(user, name) for user in batch] for name in _HISTORIES.names}
    return pa.table(columns, schema=_HISTORIES)
