"""A manifest's `spec.data.source`: labelled files in a folder or below a URL, taken in before each training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from packline_core.errors import FailedPrecondition, InvalidInput
from packline_core.filesystem import answering, open_filesystem
from packline_core.manifest import Pack

from packline_training.datasets import Datasets
from packline_training.imports import Imported, import_folder
from packline_training.upload import Upload
from packline_training.worker import Apart

_CHUNK = 1 << 20
_TOLD_ROWS = 3


def take_in_source(datasets: Datasets, pack: Pack, store: str, work: Path, apart: Apart) -> list[str]:
    """Imports what is new there. A label that the dataset has had before stays replaced by what came after it, a
    correction perhaps, however often the source repeats it.

    Args:
        datasets: Where the examples go.
        pack: Its `spec.data.source` is set.
        store: fsspec URL of the store.
        work: A folder on a disk with room for a copy of the source.
        apart: Runs the Pack's task.

    Returns:
        Sentences for the user: what changed and what was left out, nothing where all was known.

    Raises:
        FailedPrecondition: It is not there, or holds no example.
        Unavailable: What it lies on does not answer.
    """
    source = pack.spec.data.source or ""
    try:
        with _folder(source, work) as folder:
            imported = import_folder(datasets, pack, folder, store, apart, again=True)
    except InvalidInput as error:
        raise FailedPrecondition(f"spec.data.source {source}: {error.message}", reason="SOURCE_UNUSABLE") from error
    return _told(source, imported)


@contextmanager
def _folder(source: str, work: Path) -> Iterator[Path]:
    if "://" in source and not source.startswith("file://"):
        with TemporaryDirectory(dir=work) as place:
            _copy(source, Path(place))
            yield Path(place)
        return
    folder = Path(source.removeprefix("file://"))
    if not folder.is_absolute():
        raise InvalidInput("give an absolute path or a URL, since training runs in a folder of its own")
    if not folder.exists():
        raise InvalidInput("it does not exist on the machine that trains")
    yield folder


def _copy(source: str, place: Path) -> None:
    files, root = open_filesystem(source)
    root = root.rstrip("/")
    try:
        with answering(files, source):
            found = [str(path) for path in files.find(root)]
    except FileNotFoundError:  # not even a bucket
        found = []
    with Upload(place) as upload:
        for path in found:
            # An object named as a folder is some tool's mark of it; one that is the source itself is a file.
            name = path[len(root) + 1 :] if path != root else root.rpartition("/")[2]
            if name.endswith("/"):
                continue
            with answering(files, source), files.open(path, "rb") as stream:
                upload.write(name, b"")
                while chunk := stream.read(_CHUNK):
                    upload.write(name, chunk)
    if not upload.files:
        raise InvalidInput("it holds no files, or does not exist")


def _told(source: str, imported: Imported) -> list[str]:
    sentences = []
    if imported.added or imported.replaced:
        sentences.append(f"{source} gave {imported.added} new and {imported.replaced} changed examples")
    if imported.bad_row_count:
        rows = "; ".join(f"{row.source} line {row.line}: {row.reason}" for row in imported.bad_rows[:_TOLD_ROWS])
        sentences.append(f"{imported.bad_row_count} of its rows were left out: {rows}")
    return sentences
