"""The committed demo documents: labels fit their pictures, and their program still makes them."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from packline_core.manifest import parse_packs

from examples.ocr.render import FOLDER, PARTS, render
from examples.ocr.rendering.fonts import FONT_ROOT, FONTS, PACKAGES

EXAMPLE = FOLDER.parent
MISSING = [name for name in FONTS.values() if not (FONT_ROOT / name).exists()]


def labels(part: str) -> dict[str, list[dict[str, object]]]:
    rows = (row.split("\t", 1) for row in (FOLDER / part / "labels.txt").read_text(encoding="utf8").splitlines())
    return {image: json.loads(lines) for image, lines in rows}


def picture(path: Path, flag: int = cv2.IMREAD_COLOR) -> npt.NDArray[np.uint8]:
    pixels = cv2.imread(str(path), flag)
    assert pixels is not None, path
    return np.asarray(pixels, np.uint8)


@pytest.mark.parametrize("part", PARTS)
def test_every_picture_has_labels_and_the_other_way_round(part: str) -> None:
    pictures = {f"img/{path.name}" for path in (FOLDER / part / "img").iterdir()}
    assert pictures == set(labels(part))
    assert len(pictures) == PARTS[part][0]


@pytest.mark.parametrize("part", PARTS)
def test_texts_are_there_and_their_quads_lie_in_the_picture(part: str) -> None:
    for image, lines in labels(part).items():
        height, width = picture(FOLDER / part / image).shape[:2]
        assert 20 <= len(lines) <= 60, image
        for line in lines:
            text, quad = str(line["transcription"]), np.array(line["points"])
            assert text == text.strip() != "", image
            assert quad.shape == (4, 2)
            assert (quad >= 0).all() and (quad < (width, height)).all(), (image, text)
            assert quad[1, 0] > quad[0, 0] and quad[3, 1] > quad[0, 1], (image, text)


def test_no_page_of_the_holdout_is_in_the_inbox() -> None:
    inbox, holdout = ({json.dumps(lines) for lines in labels(part).values()} for part in ("inbox", "holdout"))
    assert len(inbox) == PARTS["inbox"][0] and not inbox & holdout


def test_there_is_ink_where_a_label_says_so() -> None:
    for image, lines in list(labels("holdout").items())[:12]:
        grey = picture(FOLDER / "holdout" / image, cv2.IMREAD_GRAYSCALE)
        contrasts = []
        for line in lines:
            quad = np.array(line["points"])
            (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
            contrasts.append(float(np.ptp(np.percentile(grey[y0:y1, x0:x1], (1, 90)))))
        assert min(contrasts) > 12, (image, min(contrasts))


@pytest.mark.skipif(bool(MISSING), reason=f"needs the fonts of the Debian packages {' '.join(PACKAGES)}")
@pytest.mark.parametrize(("part", "seed"), [("inbox", 1003), ("holdout", 9002)])
def test_a_seed_gives_the_committed_page_again(part: str, seed: int) -> None:
    page = render(seed)
    assert labels(part)[f"img/{page.name}.jpg"] == page.labels
    committed = picture(FOLDER / part / "img" / f"{page.name}.jpg")[..., ::-1].astype(int)
    assert committed.shape == page.image.shape
    assert np.abs(committed - page.image).mean() < 6


@pytest.mark.parametrize("name", ["pack.yaml", "pack-demo.yaml"])
def test_the_packs_are_valid(name: str) -> None:
    (pack,) = parse_packs(Path(EXAMPLE / name).read_text(encoding="utf8"))
    assert (pack.name, pack.spec.task, pack.spec.model.base) == ("delivery-notes", "ocr", "fast")
