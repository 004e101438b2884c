from __future__ import annotations

import numpy as np
import onnxruntime as ort
from hypothesis import given
from hypothesis import strategies as st
from packline_ocr.bases import CATALOGUE
from packline_ocr.engine import OcrPredictor
from packline_ocr.recognition import Recogniser
from packline_ocr.training.batching import batch_count, epoch_batches, to_tensor

SETTINGS = CATALOGUE["fast"].settings.recogniser


@given(st.lists(st.integers(1, SETTINGS.max_width), min_size=1, max_size=80), st.integers(0, 5))
def test_every_line_is_in_one_batch_and_no_batch_is_empty(widths: list[int], epoch: int) -> None:
    batches = epoch_batches(widths, 1, epoch)
    assert len(batches) == batch_count(widths)
    assert all(batches)
    assert sorted(index for batch in batches for index in batch) == list(range(len(widths)))


def test_batches_are_those_of_the_seed_and_epoch_and_of_like_width() -> None:
    widths = np.random.default_rng(0).integers(60, 900, 400).tolist()
    assert epoch_batches(widths, 1, 2) == epoch_batches(widths, 1, 2)
    assert epoch_batches(widths, 1, 2) != epoch_batches(widths, 1, 3)
    padded = sum(len(batch) * max(widths[index] for index in batch) for batch in epoch_batches(widths, 1, 2))
    assert padded < 1.3 * sum(widths)


def test_training_sees_what_serving_sees(fast: OcrPredictor) -> None:
    seen: list[np.ndarray] = []

    class Spy:
        def __init__(self, session: ort.InferenceSession) -> None:
            self._session = session

        def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.extend(feed.values())
            return list(self._session.run(names, feed))

    reader: Recogniser = fast._recogniser
    crops = [np.random.default_rng(n).integers(0, 256, (48, 60 + 50 * n, 3), np.uint8) for n in range(3)]
    session, reader._session = reader._session, Spy(reader._session)
    try:
        reader.read(crops)
    finally:
        reader._session = session
    assert np.array_equal(seen[0], to_tensor(crops, SETTINGS).numpy())
