"""Labelled pages in the field's formats: PaddleOCR label files and ICDAR box files, read and written.

PaddleOCR: `image<TAB>[{"transcription", "points"}, …]`, one image a line; images lie beside the label file or, as
PPOCRLabel writes it, beside its folder. ICDAR: `img/NAME.jpg` with `box/NAME.csv` (or `.txt`, or `gt_NAME.txt`) of
`x1,y1,…,x4,y4,text` lines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packline_core.task import BadRow

from packline_ocr.domain import LabelledLine, parse_truth, truth_json

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pdf"})
_NOT_LABELS = frozenset({"readme", "license", "licence", "notice", "sha256sums"})
_COORDINATES = 8


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled image: its path, its lines, and where the label stands."""

    image: Path
    lines: tuple[LabelledLine, ...]
    source: str


def read_labels(source: Path) -> Iterator[Labelled | BadRow]:
    """Reads a label file, or everything labelled below a folder.

    Args:
        source: A PaddleOCR label file; or a folder with `img` and `box`; or a folder of label files, in any depth.
    """
    if source.is_file():
        yield from read_paddle(source)
        return
    if not source.is_dir():
        yield BadRow(str(source), 0, "there is no such file or folder")
        return
    if (source / "img").is_dir() and (source / "box").is_dir():
        yield from read_icdar(source / "img", source / "box")
        return
    files = [path for path in sorted(source.rglob("*.txt")) if path.stem.lower() not in _NOT_LABELS]
    folders = sorted(path.parent for path in source.rglob("box") if path.is_dir() and (path.parent / "img").is_dir())
    for folder in folders:
        yield from read_icdar(folder / "img", folder / "box")
    labels = [path for path in files if not any(folder in path.parents for folder in folders)]
    for path in labels:
        yield from read_paddle(path)
    if not labels and not folders:
        yield BadRow(
            str(source), 0, "holds neither a PaddleOCR label file (*.txt) nor folders `img` and `box` of ICDAR files"
        )


def read_paddle(path: Path) -> Iterator[Labelled | BadRow]:
    """Reads a PaddleOCR label file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        yield BadRow(str(path), 0, f"cannot be read as UTF-8 text: {error}")
        return
    # Not splitlines: a text may hold characters that count as line ends there.
    for number, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            try:
                yield _paddle_row(path, number, row.removesuffix("\r"))
            except ValueError as error:
                yield BadRow(str(path), number, str(error))


def write_paddle(path: Path, pages: Iterable[tuple[str, Sequence[LabelledLine]]]) -> None:
    """Writes a PaddleOCR label file of (image as the file is to name it, lines)."""
    rows = [f"{image}\t{truth_json(lines)}\n" for image, lines in pages]
    path.write_text("".join(rows), encoding="utf8", newline="\n")


def read_icdar(images: Path, boxes: Path) -> Iterator[Labelled | BadRow]:
    """Reads a folder of images with a folder of box files of the same names."""
    for image in sorted(images.iterdir()):
        if image.suffix.lower() not in _IMAGES:
            continue
        names = (f"{image.stem}.csv", f"{image.stem}.txt", f"gt_{image.stem}.txt")
        box = next((boxes / name for name in names if (boxes / name).is_file()), None)
        if box is None:
            yield BadRow(str(image), 0, f"has no box file in {boxes} ({', '.join(names)})")
        else:
            yield from _icdar_page(image, box)


def write_icdar(path: Path, lines: Iterable[LabelledLine]) -> None:
    """Writes one ICDAR box file; corners are rounded to whole pixels."""
    rows = [",".join([*(str(round(value)) for point in line.points for value in point), line.text]) for line in lines]
    path.write_text("".join(row + "\n" for row in rows), encoding="utf8", newline="\n")


def _paddle_row(path: Path, number: int, row: str) -> Labelled:
    name, tab, label = row.partition("\t")
    if not tab:
        raise ValueError("has no tab between image and label")
    try:
        items = json.loads(label)
    except json.JSONDecodeError as error:
        raise ValueError(f"its label is not JSON: {error}") from None
    image = next((place / name for place in (path.parent, path.parent.parent) if (place / name).is_file()), None)
    if image is None:
        raise ValueError(f"there is no image {name} beside the label file")
    return Labelled(image, parse_truth(items), f"{path}:{number}")


def _icdar_page(image: Path, box: Path) -> Iterator[Labelled | BadRow]:
    """The page, or its bad rows: a page that lacks a line would teach that nothing stands there."""
    try:
        text = box.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        yield BadRow(str(box), 0, f"cannot be read as UTF-8 text: {error}")
        return
    lines, bad = [], False
    for number, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            try:
                lines.append(_icdar_row(row.removesuffix("\r")))
            except ValueError as error:
                bad = True
                yield BadRow(str(box), number, str(error))
    if not bad:
        yield Labelled(image, tuple(lines), str(box))


def _icdar_row(row: str) -> LabelledLine:
    parts = row.split(",", _COORDINATES)
    if len(parts) <= _COORDINATES:
        raise ValueError("has fewer than eight coordinates and a text")
    try:
        numbers = [float(part) for part in parts[:_COORDINATES]]
    except ValueError:
        raise ValueError("has a coordinate that is no number") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError("has a coordinate that is no finite number")
    return LabelledLine(tuple(zip(numbers[::2], numbers[1::2], strict=True)), parts[_COORDINATES])
