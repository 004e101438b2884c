"""A bundle's recogniser as a torch module: the ONNX graph itself is executed, its weights are the parameters.

So every base model that onnxruntime serves can be trained without a second description of it, and what was trained is
written back into the very graph that is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from packline_core.errors import BundleRejected
from torch import Tensor, nn

from packline_ocr.training.operators import OPERATORS, Operator


@dataclass(frozen=True, slots=True)
class _Step:
    """One node: `output` = `run`(attributes, *inputs); `last` names the values that nothing needs any more."""

    run: Operator
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    last: tuple[str, ...]


class OnnxRecogniser(nn.Module):
    """A recogniser that torch can train: float32 N x 3 x height x W -> logits N x T x classes.

    Parameters are the graph's floating-point initialisers of more than one value, but for the statistics of batch
    normalisation, which stay as they are; the names are those of the graph, with `/` for `.`.

    Args:
        path: The ONNX file.

    Raises:
        BundleRejected: The graph has an operator that is not known here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._model = onnx.load(str(path))
        graph = self._model.graph
        nodes = _live(_with_gelu(list(graph.node)), graph.output[0].name)
        if unknown := sorted({node.op_type for node in nodes} - set(OPERATORS)):
            raise BundleRejected(
                f"{path.name} uses {', '.join(unknown)}, which training does not know; serve it, or train another base",
                reason="OPERATOR_UNKNOWN",
            )
        self._input = graph.input[0].name
        self._output = graph.output[0].name
        fixed = {name for node in nodes if node.op_type == "BatchNormalization" for name in node.input[3:]}
        used = {name for node in nodes for name in node.input}
        self.weights = nn.ParameterDict()
        self._sizes: dict[str, Tensor] = {}
        for tensor in graph.initializer:
            if tensor.name not in used:
                continue
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            if not value.is_floating_point():
                self._sizes[tensor.name] = value
            elif value.numel() > 1 and tensor.name not in fixed:
                self.weights[_key(tensor.name)] = nn.Parameter(value)
            else:
                self.register_buffer(_key(tensor.name), value)
        self._steps = _steps(nodes)

    @property
    def classes(self) -> int:
        """Entries of the dictionary, and one for blank."""
        return max(weight.shape[-1] for weight in self._head())

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of lines, before any softmax."""
        values: dict[str, Tensor] = {name.replace("/", "."): value for name, value in self.weights.items()}
        values |= {name.replace("/", "."): value for name, value in self.named_buffers(recurse=False)}
        values |= self._sizes
        values[self._input] = images
        for step in self._steps:
            values[step.output] = step.run(step.attributes, *(values[name] for name in step.inputs))
            for name in step.last:
                del values[name]
        return values[self._output]

    def grow(self, count: int) -> None:
        """Adds `count` classes at the end of the head.

        A new class starts as the mean of all characters: it is no stranger than the average character, and wins nothing
        before it was trained.
        """
        classes = self.classes
        for name, weight in list(self.weights.items()):
            if weight.shape[-1] == classes:
                mean = weight.data[..., 1:].mean(-1, keepdim=True)
                self.weights[name] = nn.Parameter(torch.cat([weight.data, mean.expand(*mean.shape[:-1], count)], -1))

    def write(self, path: Path) -> None:
        """Writes the graph that was read, with the weights as they are now."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for tensor in model.graph.initializer:
            if _key(tensor.name) in self.weights:
                array = self.weights[_key(tensor.name)].detach().cpu().contiguous().numpy()
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        shape = model.graph.output[0].type.tensor_type.shape
        shape.dim[len(shape.dim) - 1].dim_value = self.classes
        # Shapes of inner values are hints; those of the head no longer hold where it grew.
        del model.graph.value_info[:]
        onnx.save(model, str(path))

    def _head(self) -> Sequence[Tensor]:
        by_output = {step.output: step for step in self._steps}
        step = by_output[self._output]
        found = [self.weights[_key(name)] for name in step.inputs if _key(name) in self.weights]
        if not found:
            raise BundleRejected("the recogniser does not end in a trainable head", reason="SIGNATURE_MISMATCH")
        return found


def predict(recogniser: OnnxRecogniser, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of one batch, in full precision, on the device of the weights."""
    device = next(recogniser.parameters()).device
    with torch.inference_mode():
        logits: NDArray[np.float32] = recogniser(torch.from_numpy(images).to(device)).float().cpu().numpy()
    return logits


def _key(name: str) -> str:
    return name.replace(".", "/")


def _live(nodes: list[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes that `output` depends on, in their order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _with_gelu(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Puts one Gelu in the place of x / sqrt(2), erf, + 1, * x, / 2, which cost torch half of a training step."""
    producer = {node.output[0]: node for node in nodes}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    result = {id(node): node for node in nodes}
    for erf in (node for node in nodes if node.op_type == "Erf"):
        chain = [producer[erf.input[0]], erf]
        while len(chain) < 5 and len(users.get(chain[-1].output[0], ())) == 1:
            chain.append(users[chain[-1].output[0]][0])
        source = chain[0].input[0]
        if [node.op_type for node in chain] == ["Div", "Erf", "Add", "Mul", "Mul"] and source in chain[3].input:
            for node in chain[:-1]:
                del result[id(node)]
            result[id(chain[-1])] = onnx.helper.make_node("Gelu", [source], [chain[-1].output[0]])
    return list(result.values())


def _steps(nodes: list[onnx.NodeProto]) -> list[_Step]:
    last_use = {name: index for index, node in enumerate(nodes) for name in node.input}
    made = {node.output[0] for node in nodes}
    return [
        _Step(
            OPERATORS[node.op_type],
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            tuple(node.input),
            node.output[0],
            tuple(name for name in dict.fromkeys(node.input) if last_use[name] == index and name in made),
        )
        for index, node in enumerate(nodes)
    ]
