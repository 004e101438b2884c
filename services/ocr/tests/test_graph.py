from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from packline_ocr.bases import CATALOGUE, locate
from packline_ocr.graph import signature_of, without_softmax, write_for_serving


def run(path: Path, images: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(result)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_recogniser_is_the_published_one_but_for_its_softmax(name: str, tmp_path: Path) -> None:
    source = locate(CATALOGUE[name].recogniser)
    model = onnx.load(str(source))
    write_for_serving(without_softmax(model), tmp_path / "served.onnx")
    images = np.random.default_rng(0).standard_normal((2, 3, 48, 160)).astype(np.float32)
    logits = run(tmp_path / "served.onnx", images)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = run(source, images)
    assert exponentials / exponentials.sum(axis=-1, keepdims=True) == pytest.approx(expected, abs=1e-5)
    operators = [node.op_type for node in onnx.load(str(tmp_path / "served.onnx")).graph.node]
    assert operators[-1] == "Add"
    assert "Identity" not in operators


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_detector_is_the_published_one(name: str, tmp_path: Path) -> None:
    source = locate(CATALOGUE[name].detector)
    write_for_serving(onnx.load(str(source)), tmp_path / "served.onnx")
    images = np.random.default_rng(0).standard_normal((1, 3, 96, 128)).astype(np.float32)
    assert run(tmp_path / "served.onnx", images) == pytest.approx(run(source, images), abs=1e-4)
    assert signature_of(tmp_path / "served.onnx")["inputs"][0][1:] == [
        "float32",
        signature_of(source)["inputs"][0][2],
    ]


def test_graphs_of_another_form_stay_as_they_are() -> None:
    model = onnx.load(str(locate(CATALOGUE["fast"].detector)))
    assert without_softmax(model) == model
