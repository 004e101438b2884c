from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime, create_session
from packline_ocr.bases import CATALOGUE
from packline_ocr.domain import Image
from packline_ocr.recognition import Recogniser, batches, cut
from packline_ocr.settings import read_characters

from services.ocr.tests.drawing import draw_page

SETTINGS = CATALOGUE["fast"].settings.recogniser


def crop_of(text: str) -> Image:
    page = draw_page([text])
    ink = np.argwhere(page[:, :, 0] < 128)
    (y0, x0), (y1, x1) = ink.min(axis=0) - 5, ink.max(axis=0) + 5
    return cut(page, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32), SETTINGS)


@pytest.fixture(scope="module")
def recogniser(fast_bundle: Bundle) -> Recogniser:
    session = create_session(fast_bundle.path(SETTINGS.file), Runtime(threads=2))
    return Recogniser(session, SETTINGS, read_characters(fast_bundle.path(SETTINGS.characters)))


def test_reads_text_with_spaces_and_repeats(recogniser: Recogniser) -> None:
    (reading,) = recogniser.read([crop_of("Coffee 1000 kg")])
    assert reading.text == "Coffee 1000 kg"
    assert 0.8 < reading.confidence <= 1


def test_padding_does_not_change_what_is_read(recogniser: Recogniser) -> None:
    short, long = crop_of("Order 12"), crop_of("bearing 6204 and 6205")
    assert [r.text for r in recogniser.read([short, long])] == ["Order 12", "bearing 6204 and 6205"]


def test_blank_crop_is_read_as_nothing(recogniser: Recogniser) -> None:
    (reading,) = recogniser.read([np.full((SETTINGS.height, 120, 3), 255, np.uint8)])
    assert reading.text == ""
    assert reading.confidence == 0


def test_line_written_downwards_is_turned_left(recogniser: Recogniser) -> None:
    crop = np.rot90(crop_of("Total 384.60"), 3)  # reads from the top down
    page = np.full((600, 200, 3), 255, np.uint8)
    height, width = crop.shape[:2]
    page[40 : 40 + height, 60 : 60 + width] = crop
    quad = np.array([[60, 40], [60 + width, 40], [60 + width, 40 + height], [60, 40 + height]], np.float32)
    (reading,) = recogniser.read([cut(page, quad, SETTINGS)])
    assert reading.text == "Total 384.60"


def test_slanted_quad_is_cut_straight(recogniser: Recogniser) -> None:
    page = draw_page(["Delivery 4711"], angle=9)
    corners = np.array([[50, 30], [400, 30], [400, 95], [50, 95]], np.float32)
    turn = np.radians(-9)
    middle = np.array([page.shape[1] / 2, page.shape[0] / 2], np.float32)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    quad = ((corners - middle) @ rotation.T + middle).astype(np.float32)
    (reading,) = recogniser.read([cut(page, quad, SETTINGS)])
    assert reading.text == "Delivery 4711"


def test_cut_has_the_recognisers_height_and_bounded_width() -> None:
    page = np.zeros((40, 3000, 3), np.uint8)
    quad = np.array([[0, 10], [3000, 10], [3000, 20], [0, 20]], np.float32)
    assert cut(page, quad, SETTINGS).shape == (SETTINGS.height, SETTINGS.max_width, 3)


def test_dictionary_of_another_model_is_refused(fast_bundle: Bundle) -> None:
    session = create_session(fast_bundle.path(SETTINGS.file), Runtime(threads=1))
    with pytest.raises(BundleRejected) as caught:
        Recogniser(session, SETTINGS, ["a", "b"])
    assert caught.value.reason == "SIGNATURE_MISMATCH"
    assert "6906 classes" in caught.value.message


def test_other_height_than_the_model_takes_is_refused(fast_bundle: Bundle) -> None:
    session = create_session(fast_bundle.path(SETTINGS.file), Runtime(threads=1))
    with pytest.raises(BundleRejected):
        Recogniser(session, replace(SETTINGS, height=32), read_characters(fast_bundle.path(SETTINGS.characters)))


def test_grown_dictionary_is_read_from_the_bundle(fast_bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load(str(fast_bundle.path(SETTINGS.file)))
    characters = read_characters(fast_bundle.path(SETTINGS.characters))
    # The new class is a copy of the letter O with a little more bias, so that it wins over it.
    for tensor in model.graph.initializer:
        if tensor.dims and tensor.dims[-1] == len(characters) + 1:
            values = numpy_helper.to_array(tensor)
            column = values[..., [characters.index("O") + 1]] + (values.ndim == 1)
            tensor.CopyFrom(numpy_helper.from_array(np.concatenate([values, column], axis=-1), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value += 1
    onnx.save(model, str(tmp_path / "grown.onnx"))
    session = create_session(tmp_path / "grown.onnx", Runtime(threads=1))
    (reading,) = Recogniser(session, SETTINGS, (*characters, "Ø")).read([crop_of("ORDER")])
    assert reading.text == "ØRDER"


@given(widths=st.lists(st.integers(1, 400).map(lambda n: 8 * n), max_size=60), limit=st.integers(1, 9))
def test_batches_hold_each_line_once_and_waste_little(widths: list[int], limit: int) -> None:
    groups = batches(widths, limit, 0.1)
    assert sorted(index for group in groups for index in group) == list(range(len(widths)))
    for group in groups:
        inside = [widths[index] for index in group]
        assert len(group) <= limit
        assert max(inside) <= min(inside) * 1.1
    firsts = [widths[group[0]] for group in groups]
    assert firsts == sorted(firsts, reverse=True)
