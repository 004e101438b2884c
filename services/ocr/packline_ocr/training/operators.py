"""ONNX operators as torch functions: those that text recognisers are made of, for tensors on any device.

Semantics: https://onnx.ai/onnx/operators/. Each function takes the node's attributes and its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]
Operator = Callable[..., Tensor]


def _padded(attributes: Attributes, x: Tensor, kernel: Sequence[int], value: float) -> Tensor:
    """Pads the last two axes as `pads` or `auto_pad` says."""
    if attributes.get("auto_pad") == b"SAME_UPPER":
        sizes = zip(x.shape[-2:], kernel, attributes["strides"], strict=True)
        total = [max((-(-size // stride) - 1) * stride + k - size, 0) for size, k, stride in sizes]
        top, left, bottom, right = total[0] // 2, total[1] // 2, -(-total[0] // 2), -(-total[1] // 2)
    else:
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return functional.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads = attributes.get("pads", (0, 0, 0, 0))
    padding: Sequence[int] = pads[:2]
    if attributes.get("auto_pad") == b"SAME_UPPER" or tuple(pads[:2]) != tuple(pads[2:]):
        x, padding = _padded(attributes, x, weight.shape[2:], 0.0), (0, 0)
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    return functional.conv2d(x, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def _batch_norm(attributes: Attributes, x: Tensor, *weights: Tensor) -> Tensor:
    scale, bias, mean, var = weights
    # Statistics stay those of the base: few documents estimate them badly.
    return functional.batch_norm(x, mean, var, scale, bias, training=False, eps=attributes.get("epsilon", 1e-5))


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    padded = _padded(attributes, x, kernel, float("-inf"))
    return functional.max_pool2d(padded, kernel, attributes["strides"])


def _average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    pads = attributes.get("pads", (0, 0, 0, 0))
    include = bool(attributes.get("count_include_pad", 0))
    pooled: Tensor = functional.avg_pool2d(
        x, attributes["kernel_shape"], attributes["strides"], pads[:2], False, include
    )
    return pooled


def _hard_sigmoid(attributes: Attributes, x: Tensor) -> Tensor:
    alpha, beta = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    return (x * alpha + beta).clamp(0, 1)


def _squeeze(attributes: Attributes, x: Tensor) -> Tensor:
    for axis in sorted(attributes["axes"], reverse=True):
        x = x.squeeze(axis)
    return x


def _unsqueeze(attributes: Attributes, x: Tensor) -> Tensor:
    for axis in sorted(attributes["axes"]):
        x = x.unsqueeze(axis)
    return x


def _slice(
    _: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    names = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    where = [slice(None)] * x.ndim
    for axis, start, end, step in zip(names, starts.tolist(), ends.tolist(), strides, strict=True):
        where[axis] = slice(start, end, step)
    return x[tuple(where)]


def _reshape(_: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())])


def _pad(_: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    sizes: list[int] = pads.tolist()
    # ONNX lists all begins, then all ends; torch wants (begin, end) from the last axis backwards.
    pairs = [size for axis in reversed(range(x.ndim)) for size in (sizes[axis], sizes[axis + x.ndim])]
    return functional.pad(x, pairs, value=0.0 if value is None else float(value))


OPERATORS: Mapping[str, Operator] = {
    "Add": lambda _, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Concat": lambda attributes, *tensors: torch.cat(tensors, attributes["axis"]),
    "Conv": _conv,
    "Div": lambda _, x, y: x / y,
    "Erf": lambda _, x: torch.erf(x),
    "Gelu": lambda _, x: functional.gelu(x),
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda _, x: x,
    "MatMul": lambda _, x, y: x @ y,
    "MaxPool": _max_pool,
    "Mul": lambda _, x, y: x * y,
    "Pad": _pad,
    "Pow": lambda _, x, y: x**y,
    "ReduceMean": lambda attributes, x: x.mean(attributes["axes"], keepdim=bool(attributes.get("keepdims", 1))),
    "Relu": lambda _, x: functional.relu(x),
    "Reshape": _reshape,
    # Shapes and what is computed of them stay on the CPU, where reshape and slice need them as numbers.
    "Shape": lambda _, x: torch.tensor(x.shape),
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda attributes, x: x.softmax(attributes["axis"]),
    "Sqrt": lambda _, x: torch.sqrt(x),
    "Squeeze": _squeeze,
    "Sub": lambda _, x, y: x - y,
    "Transpose": lambda attributes, x: x.permute(*attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
