from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from packline_core.errors import BundleRejected
from packline_ocr.bases import CATALOGUE, locate
from packline_ocr.graph import without_softmax, write_for_serving
from packline_ocr.training.recogniser import OnnxRecogniser, predict


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(result)


def probabilities(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


@pytest.fixture(scope="module", params=list(CATALOGUE))
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "recogniser.onnx"
    write_for_serving(without_softmax(onnx.load(str(locate(CATALOGUE[request.param].recogniser)))), path)
    return path


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 168)).astype(np.float32)


def test_torch_and_onnxruntime_agree(graph: Path, images: np.ndarray) -> None:
    difference = np.abs(probabilities(predict(OnnxRecogniser(graph), images)) - probabilities(run(graph, images)))
    assert difference.max() < 1e-4


def test_written_graph_is_the_one_read(graph: Path, images: np.ndarray, tmp_path: Path) -> None:
    OnnxRecogniser(graph).write(tmp_path / "same.onnx")
    assert run(tmp_path / "same.onnx", images) == pytest.approx(run(graph, images), abs=1e-4)


def test_changed_weights_are_written(graph: Path, images: np.ndarray, tmp_path: Path) -> None:
    recogniser = OnnxRecogniser(graph)
    with torch.no_grad():
        for weight in recogniser.parameters():
            weight.mul_(1.01)
    recogniser.write(tmp_path / "changed.onnx")
    served = run(tmp_path / "changed.onnx", images)
    assert probabilities(served) == pytest.approx(probabilities(predict(recogniser, images)), abs=1e-4)
    assert np.abs(served - run(graph, images)).max() > 1e-2


def test_every_weight_of_the_graph_is_trained(graph: Path, images: np.ndarray) -> None:
    recogniser = OnnxRecogniser(graph)
    recogniser(torch.from_numpy(images)).log_softmax(-1)[..., 1].sum().backward()
    untouched = [name for name, weight in recogniser.named_parameters() if weight.grad is None]
    assert untouched == []
    stored = sum(int(np.prod(t.dims)) for t in onnx.load(str(graph)).graph.initializer if t.data_type == 1 and t.dims)
    assert sum(weight.numel() for weight in recogniser.parameters()) > 0.99 * stored


def test_grown_dictionary_leaves_the_old_classes_alone(graph: Path, images: np.ndarray, tmp_path: Path) -> None:
    recogniser = OnnxRecogniser(graph)
    classes = recogniser.classes
    recogniser.grow(2)
    recogniser.write(tmp_path / "grown.onnx")
    served = run(tmp_path / "grown.onnx", images)
    assert recogniser.classes == classes + 2 == served.shape[-1]
    before = run(graph, images)
    assert served[..., :classes] == pytest.approx(before, abs=1e-3)
    assert (served[..., classes:].max(axis=-1) < served[..., :classes].max(axis=-1)).all()
    assert np.isin(served.argmax(-1), before.argmax(-1)).all()


def test_unknown_operator_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Hardmax", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 3]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", value[:1], value[1:])), str(tmp_path / "odd.onnx"))
    with pytest.raises(BundleRejected, match="Hardmax"):
        OnnxRecogniser(tmp_path / "odd.onnx")
