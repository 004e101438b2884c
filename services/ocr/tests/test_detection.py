from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime, create_session
from packline_ocr.bases import CATALOGUE
from packline_ocr.detection import Detector, input_size, quads_from_map

from services.ocr.tests.drawing import draw_page

SETTINGS = CATALOGUE["fast"].settings.detector


def region(centre: tuple[float, float], size: tuple[float, float], angle: float, value: float = 0.9) -> np.ndarray:
    probability = np.zeros((400, 600), np.float32)
    cv2.fillPoly(probability, [np.rint(cv2.boxPoints((centre, size, angle))).astype(np.int32)], value)
    return probability


@pytest.mark.parametrize("angle", [-30.0, -5.0, 0.0, 12.0, 40.0])
def test_quad_surrounds_its_region_upright_first(angle: float) -> None:
    (quad,) = quads_from_map(region((300, 200), (240, 24), angle), 400, 600, SETTINGS)
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(angle, abs=1.5)
    assert quad.mean(axis=0) == pytest.approx([300, 200], abs=1.5)
    grow = 240 * 24 * SETTINGS.unclip_ratio / (240 + 24)
    assert np.linalg.norm(across) == pytest.approx(240 + grow, abs=8)
    assert np.linalg.norm(down) == pytest.approx(24 + grow, abs=8)


def test_quads_are_in_pixels_of_the_page_and_within_it() -> None:
    (quad,) = quads_from_map(region((20, 200), (60, 30), 0), 800, 300, SETTINGS)
    assert quad[:, 0].min() == 0
    assert quad[:, 1].mean() == pytest.approx(400, abs=2)
    assert (quad * 4 == np.round(quad * 4)).all()


def test_faint_and_tiny_regions_are_no_lines() -> None:
    assert quads_from_map(region((300, 200), (200, 20), 0, value=0.3), 400, 600, SETTINGS) == []
    assert quads_from_map(region((300, 200), (2, 1), 0), 400, 600, SETTINGS) == []
    assert quads_from_map(np.zeros((32, 32), np.float32), 10, 10, SETTINGS) == []


@given(height=st.integers(1, 32_000), width=st.integers(1, 32_000))
def test_input_is_of_whole_cells_and_bounded(height: int, width: int) -> None:
    sides = input_size(height, width, SETTINGS)
    assert all(side >= SETTINGS.multiple and side % SETTINGS.multiple == 0 for side in sides)
    assert max(sides) <= SETTINGS.max_side + SETTINGS.multiple


def test_input_keeps_small_pages_readable_and_reduces_large_ones() -> None:
    assert input_size(600, 368, SETTINGS) == (1216, 736)
    assert input_size(1600, 1600, SETTINGS) == (1216, 1216)


def test_every_line_of_a_page_is_found(fast_bundle: Bundle) -> None:
    path = fast_bundle.path(SETTINGS.file)
    quads = Detector(create_session(path, Runtime(threads=2)), SETTINGS).detect(draw_page())
    middles = sorted(float(quad[:, 1].mean()) for quad in quads)
    assert middles == pytest.approx([68, 148, 228], abs=8)


def test_model_of_another_signature_is_refused(fast_bundle: Bundle) -> None:
    recogniser = create_session(fast_bundle.path("recogniser.onnx"), Runtime(threads=1))
    with pytest.raises(BundleRejected) as caught:
        Detector(recogniser, replace(SETTINGS, file="recogniser.onnx"))
    assert caught.value.reason == "SIGNATURE_MISMATCH"
