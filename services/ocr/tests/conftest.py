"""Real base models, built once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packline_core.bundle import Bundle, verify
from packline_core.runtime import Runtime
from packline_ocr.engine import OcrPredictor
from packline_ocr.task import OcrTask


@pytest.fixture(scope="session")
def fast_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The sealed `fast` base."""
    folder = tmp_path_factory.mktemp("fast")
    OcrTask().build_base("fast", folder)
    return verify(folder)


@pytest.fixture(scope="session")
def fast(fast_bundle: Bundle) -> Iterator[OcrPredictor]:
    """The `fast` base, opened on two threads."""
    predictor = OcrTask().load(fast_bundle, Runtime(threads=2))
    yield predictor
    predictor.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared material, where it is there."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder
