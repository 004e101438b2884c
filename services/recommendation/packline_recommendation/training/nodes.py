"""A small writer of ONNX graphs: each call adds a node and gives the name of its output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
_INLINE_BYTES = 1 << 30  # protobuf ends at 2 GB; larger models keep their numbers in a file beside

Shape = Sequence[int | str]


class Nodes:
    """Nodes and constants of a graph that is being written."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[int, tuple[object, str]] = {}
        self._bytes = 0

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node.

        Args:
            operator: Its type in ONNX's own operator set.
            inputs: Names.
            outputs: How many it has.
            attributes: The operator's.

        Returns:
            The name of its output, or a list of names where it has several.
        """
        names = [f"{operator.lower()}_{len(self._nodes)}_{place}" for place in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, value: npt.NDArray[Any]) -> str:
        """A constant; the same array is stored once however often it is used."""
        if id(value) in self._known:
            return self._known[id(value)][1]
        name = f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        # The array is kept, so that its id stays its own.
        self._known[id(value)] = (value, name)
        self._bytes += value.nbytes
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(np.array(value, dtype=np.float32))

    def whole(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, dtype=np.int64))

    def write(self, path: Path, inputs: Sequence[onnx.ValueInfoProto], outputs: dict[str, str]) -> None:
        """Writes the graph.

        Args:
            path: The file; a large model's constants lie in `<name>.data` beside it.
            inputs: As `tensor` makes them.
            outputs: Name -> name of the node's output.
        """
        kinds = {"scores": TensorProto.FLOAT, "indices": TensorProto.INT64}
        for name, inner in outputs.items():
            self._nodes.append(helper.make_node("Identity", [inner], [name]))
        graph = helper.make_graph(
            self._nodes,
            "recommender",
            list(inputs),
            [helper.make_tensor_value_info(name, kinds[name], ["batch", "k"]) for name in outputs],
            list(self._constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="packline")
        model.ir_version = 9
        if self._bytes < _INLINE_BYTES:
            onnx.checker.check_model(model)
            onnx.save_model(model, path)
        else:
            onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data")


def tensor(name: str, kind: npt.DTypeLike, shape: Shape) -> onnx.ValueInfoProto:
    """An input of a graph."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(shape))
