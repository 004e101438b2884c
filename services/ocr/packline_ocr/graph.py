"""Turns an exported graph into one to serve: what onnxruntime would fold at every start is folded once, offline.

The recogniser's softmax goes: over thousands of classes it costs more than the few steps that decoding looks at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx


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


def _rename_tensor(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
