"""The transformer of `sequence` as ONNX nodes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from packline_recommendation.domain import Floats
from packline_recommendation.training.nodes import Nodes
from packline_recommendation.training.sequence import Block, Network


def network_vectors(nodes: Nodes, network: Network) -> tuple[str, Floats]:
    """Adds a network's nodes.

    Args:
        nodes: Has the input `items`.
        network: What to write.

    Returns:
        The name of each history's vector, float32 (batch, width), and the items' table, float32 (items, width).
    """
    shape = network.shape
    with torch.no_grad():
        table = _array(network.table())
    newest = nodes.add(
        "Slice", "items", nodes.whole(-shape.length), nodes.whole(np.iinfo(np.int64).max), nodes.whole(1)
    )
    there = nodes.add("Greater", newest, nodes.constant(np.array(0, dtype=np.int64)))
    shifted = nodes.add("Sub", newest, nodes.constant(np.array(1, dtype=np.int64)))
    indices = nodes.add("Max", shifted, nodes.constant(np.array(0, dtype=np.int64)))
    states = nodes.add("Gather", nodes.constant(table), indices, axis=0)
    states = nodes.add("Mul", states, nodes.add("Unsqueeze", nodes.add("Cast", there, to=1), nodes.whole(-1)))
    length = nodes.add("Gather", nodes.add("Shape", newest), nodes.whole(1), axis=0)
    hidden = _hidden(nodes, there, length, shape.length)
    for block in network.blocks:
        assert isinstance(block, Block)
        states = _block(nodes, block, states, hidden, length)
    last = nodes.add("Gather", states, nodes.constant(np.array(-1, dtype=np.int64)), axis=1)
    return _norm(nodes, network.norm, last), table


def _hidden(nodes: Nodes, there: str, length: str, longest: int) -> str:
    """float32 (batch, 1, length, length): -inf where a place must not be looked at."""
    start, steps = nodes.whole(0, 0), nodes.add("Concat", length, length, axis=0)
    ahead = np.triu(np.ones((longest, longest), dtype=np.bool_), k=1)
    itself = np.eye(longest, dtype=np.bool_)
    later = nodes.add("Slice", nodes.constant(ahead), start, steps)
    own = nodes.add("Slice", nodes.constant(itself), start, steps)
    seen = nodes.add("Or", nodes.add("Unsqueeze", there, nodes.whole(1)), own)
    unseen = nodes.add("Or", nodes.add("Not", seen), later)
    masked = nodes.add("Where", unseen, nodes.number(-np.inf), nodes.number(0))
    return str(nodes.add("Unsqueeze", masked, nodes.whole(1)))


def _block(nodes: Nodes, block: Block, given: str, hidden: str, length: str) -> str:
    width = block.attention_out.in_features
    size = width // block.heads
    parts = nodes.add(
        "Split",
        _linear(nodes, block.attention_in, _norm(nodes, block.attention_norm, given)),
        outputs=3,
        axis=-1,
        num_outputs=3,
    )
    query, key, value = (
        nodes.add("Transpose", nodes.add("Reshape", part, nodes.whole(0, 0, block.heads, size)), perm=[0, 2, 1, 3])
        for part in parts
    )
    longest = block.distance.shape[1]
    places = np.arange(longest)
    distance = np.maximum(places[:, None] - places[None, :], 0)
    bias = nodes.add(
        "Slice",
        nodes.constant(_array(block.distance)[:, distance]),
        nodes.whole(0, 0),
        nodes.add("Concat", length, length, axis=0),
        nodes.whole(1, 2),
    )
    products = nodes.add("MatMul", query, nodes.add("Transpose", key, perm=[0, 1, 3, 2]))
    products = nodes.add("Mul", products, nodes.number(size**-0.5))
    products = nodes.add("Add", nodes.add("Add", products, bias), hidden)
    seen = nodes.add("MatMul", nodes.add("Softmax", products, axis=-1), value)
    seen = nodes.add("Reshape", nodes.add("Transpose", seen, perm=[0, 2, 1, 3]), nodes.whole(0, 0, width))
    given = _gated(nodes, block.attention_gate, given, _linear(nodes, block.attention_out, seen))
    inner = _linear(nodes, block.forward_in, _norm(nodes, block.forward_norm, given))
    gate, value = nodes.add("Split", inner, outputs=2, axis=-1, num_outputs=2)
    inner = nodes.add("Mul", nodes.add("Mul", gate, nodes.add("Sigmoid", gate)), value)
    return _gated(nodes, block.forward_gate, given, _linear(nodes, block.forward_out, inner))


def _gated(nodes: Nodes, gate: nn.Linear, given: str, made: str) -> str:
    return str(nodes.add("Add", given, nodes.add("Mul", nodes.add("Sigmoid", _linear(nodes, gate, given)), made)))


def _linear(nodes: Nodes, layer: nn.Linear, given: str) -> str:
    product = nodes.add("MatMul", given, nodes.constant(np.ascontiguousarray(_array(layer.weight).T)))
    return str(nodes.add("Add", product, nodes.constant(_array(layer.bias))))


def _norm(nodes: Nodes, layer: nn.LayerNorm, given: str) -> str:
    weight, bias = nodes.constant(_array(layer.weight)), nodes.constant(_array(layer.bias))
    return str(nodes.add("LayerNormalization", given, weight, bias, axis=-1, epsilon=layer.eps))


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
