"""The task's ONNX graphs, built with onnx.helper: an offset added to every value, and a chain of matrix products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 256


def write_offset(path: Path, offset: float, *, input_name: str = "values") -> None:
    """A graph that adds `offset` to any number of values: float32 [n] -> float32 [n]."""
    nodes = [helper.make_node("Add", [input_name, "offset"], ["answers"])]
    weights = [numpy_helper.from_array(np.array([offset], np.float32), "offset")]
    _write(path, nodes, weights, input_name, ["n"])


def write_chain(path: Path, depth: int, offset: float) -> None:
    """A graph of `depth` products with one orthogonal matrix: float32 [b, 256] -> float32 [b, 256], 20 µs each."""
    matrix, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(WIDTH, WIDTH)))
    nodes, last = [], "values"
    for step in range(depth):
        nodes.append(helper.make_node("MatMul", [last, "matrix"], [f"step{step}"]))
        last = f"step{step}"
    nodes.append(helper.make_node("Add", [last, "offset"], ["answers"]))
    weights = [
        numpy_helper.from_array(matrix.astype(np.float32), "matrix"),
        numpy_helper.from_array(np.array([offset], np.float32), "offset"),
    ]
    _write(path, nodes, weights, "values", ["b", WIDTH])


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    input_name: str,
    shape: list[str | int],
) -> None:
    graph = helper.make_graph(
        nodes,
        "echo",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
