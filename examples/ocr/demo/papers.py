"""The documents of the demo: those that are corrected, and those that are only ever read and scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packline_core.bundle import bytes_digest
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


def papers_of(folder: Path) -> Papers:
    """A user's own folder: half of the labelled documents are corrected, the others scored; without labels all read.

    Args:
        folder: Documents, with labels in a format of task `ocr` or without.
    """
    labelled = _labelled(folder)
    if len(labelled) >= 2:
        halves: tuple[list[Paper], list[Paper]] = ([], [])
        for paper in labelled:
            halves[_coin(paper)].append(paper)
        if all(halves):
            note = (
                f"The documents of {folder.name}: by a hash, half of them were corrected, the other half only scored."
            )
            return Papers(*halves, note)
    note = f"The documents of {folder.name}. They have no labels, so they were read, and nothing was scored or learned."
    return Papers((), [Paper(path, None) for path in _files(folder)], note)


def _labelled(folder: Path) -> list[Paper]:
    # An example's key is the digest of its payload, which is the file as it lies there.
    by_digest = {bytes_digest(path.read_bytes()): path for path in _files(folder)}
    rows = get_task("ocr").read(folder)
    return [Paper(by_digest[row.key.partition("#")[0]], row) for row in rows if isinstance(row, Example)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def _coin(paper: Paper) -> int:
    assert paper.example is not None
    return hashlib.sha256(paper.example.key.encode()).digest()[0] % 2
