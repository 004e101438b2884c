"""Turns an exported graph into one to serve: what onnxruntime would fold at every start is folded once, offline.

The recogniser's softmax goes: over thousands of classes it costs more than the few steps that decoding looks at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


def without_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a recogniser whose output is the logits instead of their softmax; others stay as they are."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    output = graph.output[0].name
    last = next(node for node in graph.node if output in node.output)
    if last.op_type == "Softmax":
        graph.node.remove(last)
        _rename_tensor(graph, last.input[0], output)
    return result


def with_folded_bias(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose last MatMul takes in the bias that follows it, as one more row against a constant 1.

    The bias of a head with thousands of classes is otherwise one more pass over the largest tensor there is. A graph
    that does not end in MatMul and Add (Identity between them) stays as it is.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    producer = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    output = graph.output[0].name
    add = _behind_identity(producer, output)
    if add is None or add.op_type != "Add":
        return result
    bias_name = next((name for name in add.input if name in weights), None)
    source = next((name for name in add.input if name != bias_name), None)
    matmul = _behind_identity(producer, source) if bias_name and source else None
    if bias_name is None or matmul is None or matmul.op_type != "MatMul" or matmul.input[1] not in weights:
        return result
    weight = numpy_helper.to_array(weights[matmul.input[1]])
    bias = numpy_helper.to_array(weights[bias_name]).reshape(1, -1)
    if bias.shape[1] != weight.shape[1]:
        return result
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.concatenate([weight, bias]).astype(weight.dtype), "head.weight_and_bias"),
            # Pads the last of three axes by one entry at its end.
            numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 1], np.int64), "head.pads"),
            numpy_helper.from_array(np.array(1, weight.dtype), "head.one"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Pad", [matmul.input[0], "head.pads", "head.one"], ["head.input"], mode="constant"),
            helper.make_node("MatMul", ["head.input", "head.weight_and_bias"], [output + ".head"]),
        ]
    )
    for node in list(graph.node):
        if output in node.output:
            graph.node.remove(node)
    graph.node[-1].output[0] = output
    return result


def write_for_serving(model: onnx.ModelProto, path: Path) -> None:
    """Folds constants, drops dead nodes and writes the graph; the result runs on every execution provider."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    # Basic optimisations alone: they stay within ONNX's own operators, so the file is not tied to one processor.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def signature_of(path: Path) -> dict[str, list[list[Any]]]:
    """Inputs and outputs of an ONNX file, as a bundle's manifest has them: `[name, dtype, shape]`."""
    graph = onnx.load(str(path), load_external_data=False).graph

    def entry(value: onnx.ValueInfoProto) -> list[Any]:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        return [value.name, dtype, [d.dim_value or d.dim_param for d in tensor.shape.dim]]

    return {"inputs": [entry(v) for v in graph.input], "outputs": [entry(v) for v in graph.output]}


def _behind_identity(producer: dict[str, onnx.NodeProto], name: str) -> onnx.NodeProto | None:
    node = producer.get(name)
    while node is not None and node.op_type == "Identity":
        node = producer.get(node.input[0])
    return node


def _rename_tensor(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
