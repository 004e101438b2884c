"""The documents of the demo: those that are corrected, and those that are only ever read and scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packline_core.task import Example, get_task

from examples.ocr.report.facts import TextLine

HERE = Path(__file__).parents[1]
_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pdf"}


@dataclass(frozen=True, slots=True)
class Paper:
    """One document; `example` is there where its text is known."""

    image: Path
    example: Example | None

    @property
    def truth(self) -> tuple[TextLine, ...]:
        """Its labelled lines."""
        if self.example is None:
            return ()
        return tuple(
            TextLine(tuple((float(x), float(y)) for x, y in item["points"]), item["transcription"])
            for item in json.loads(self.example.truth)
        )


@dataclass(frozen=True, slots=True)
class Papers:
    """What the demo works on, and what is to be said about it."""

    corrected: Sequence[Paper]
    held_out: Sequence[Paper]
    note: str


def demo_papers() -> Papers:
    """The documents that come with the example."""
    documents = HERE / "documents"
    note = (
        "All documents are rendered and degraded by a program; none was photographed or scanned. "
        "The pages that were scored have the same layouts as those that were corrected, and no page in common."
    )
    return Papers(_labelled(documents / "inbox"), _labelled(documents / "holdout"), note)


def papers_of(folder: Path, work: Path) -> Papers:
    """A user's own folder: half of the labelled documents are corrected, the others scored; without labels all read.

    Args:
        folder: Documents, with labels in a format of task `ocr` or without.
        work: Where payloads of labelled documents are written, for the report's pictures.
    """
    labelled = _labelled(folder, work)
    if len(labelled) >= 2:
        halves: tuple[list[Paper], list[Paper]] = ([], [])
        for paper in labelled:
            halves[_coin(paper)].append(paper)
        if all(halves):
            note = (
                f"The documents of {folder.name}: by a hash, half of them were corrected, the other half only scored."
            )
            return Papers(*halves, note)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    note = f"The documents of {folder.name}. They have no labels, so they were read, and nothing was scored or learned."
    return Papers((), [Paper(path, None) for path in files], note)


def _labelled(folder: Path, work: Path | None = None) -> list[Paper]:
    rows = get_task("ocr").read(folder)
    return [Paper(_image(folder, row, work), row) for row in rows if isinstance(row, Example)]


def _image(folder: Path, example: Example, work: Path | None) -> Path:
    name = Path(example.source.rsplit(":", 1)[0])
    if work is None:
        return folder / "img" / name.name if not (folder / name).is_file() else folder / name
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{hashlib.sha256(example.payload).hexdigest()[:16]}.img"
    path.write_bytes(example.payload)
    return path


def _coin(paper: Paper) -> int:
    assert paper.example is not None
    return hashlib.sha256(paper.example.key.encode()).digest()[0] % 2
