"""Takes in labelled files, corrections and a Pack's state as a dataset version: all of them, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from packline_core.errors import InvalidInput
from packline_core.manifest import Pack
from packline_core.store import ObjectStore
from packline_core.task import BadRow, Example, State
from packline_core.units import parse_percent

from packline_training.datasets import Committed, Corrections, Datasets
from packline_training.domain import DatasetVersion
from packline_training.reading import Reading, found_in, new_catalogue, read_examples
from packline_training.registry import dataset_of
from packline_training.worker import Apart

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed, with the newest dataset version after it."""

    version: DatasetVersion
    added: int
    replaced: int
    unchanged: int
    bad_row_count: int
    bad_rows: tuple[BadRow, ...]


def import_folder(
    datasets: Datasets, pack: Pack, folder: Path, store: str, apart: Apart, *, again: bool = False
) -> Imported:
    """Reads a folder with the Pack's task, where `apart` runs it, and commits what it found.

    Args:
        datasets: Where the examples go.
        pack: Whose they are.
        folder: What is read; a file is, too.
        store: fsspec URL of the store.
        apart: Runs the reading.
        again: Whether nobody asked for these labels just now: one that was replaced before does not come back.

    Raises:
        InvalidInput: It holds no example; the message says why the first rows are none.
    """
    known = datasets.known(dataset_of(pack), ever=again)
    with _read_apart(known, pack, store, apart, "read_folder", source=str(folder)) as reading:
        if not reading.examples:
            raise InvalidInput(_nothing_found(pack, reading), reason="NO_EXAMPLES", field="file")
        committed = datasets.commit(dataset_of(pack), found_in(reading.catalogue), "import")
    assert committed.version is not None  # examples were found, so there is a version
    logger.info("import for %s: %d added, %d replaced", pack.name, committed.added, committed.replaced)
    return Imported(
        version=committed.version,
        added=committed.added,
        replaced=committed.replaced,
        unchanged=reading.unchanged,
        bad_row_count=reading.bad_row_count,
        bad_rows=reading.bad_rows,
    )


def import_state(datasets: Datasets, pack: Pack, state: State, store: str, apart: Apart) -> Committed:
    """Takes in what the Pack was told while it served, with a task that keeps such a state."""
    known = datasets.known(dataset_of(pack))
    with _read_apart(known, pack, store, apart, "read_state", state=asdict(state)) as reading:
        committed = datasets.commit(dataset_of(pack), found_in(reading.catalogue), "recorded")
    logger.info("state of %s: %d examples added, %d replaced", pack.name, committed.added, committed.replaced)
    return committed


@contextmanager
def _read_apart(
    known: Iterable[tuple[str, str, bool]], pack: Pack, store: str, apart: Apart, function: str, **source: object
) -> Iterator[Reading]:
    with TemporaryDirectory() as place:
        catalogue = Path(place) / "catalogue.db"
        new_catalogue(catalogue, known)
        answer = apart(
            f"packline_training.reading:{function}",
            task=pack.spec.task,
            catalogue=str(catalogue),
            store=store,
            golden_share=parse_percent(pack.spec.data.golden_share),
            **source,
        )
        yield Reading.from_json(answer)


def import_examples(
    datasets: Datasets, pack: Pack, examples: Iterable[Example | BadRow], store: ObjectStore, corrections: Corrections
) -> Reading:
    """Takes in corrections as examples, in this process, and notes where reading them goes on."""
    with TemporaryDirectory() as place:
        catalogue = Path(place) / "catalogue.db"
        new_catalogue(catalogue, datasets.known(dataset_of(pack)))
        reading = read_examples(examples, catalogue, store, parse_percent(pack.spec.data.golden_share))
        datasets.commit(dataset_of(pack), found_in(catalogue), "corrections", corrections)
    return reading


def _nothing_found(pack: Pack, reading: Reading) -> str:
    if not reading.bad_row_count:
        return f"there is nothing in it that task {pack.spec.task} reads as an example; nothing was taken in"
    reasons = "; ".join(f"{row.source} line {row.line}: {row.reason}" for row in reading.bad_rows[:3])
    return f"none of its {reading.bad_row_count} rows is an example, nothing was taken in: {reasons}"
