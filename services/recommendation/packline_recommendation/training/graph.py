"""A recommender as one ONNX graph: histories in, the best k of what is allowed out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from packline_recommendation.domain import Floats
from packline_recommendation.training.factors import Factors
from packline_recommendation.training.neighbours import Neighbours
from packline_recommendation.training.nodes import Nodes, tensor
from packline_recommendation.training.parts import EPSILON, Constant, NewItems, Part, Recommender
from packline_recommendation.training.sequence import Network
from packline_recommendation.training.sequence_graph import network_vectors


def write_graph(recommender: Recommender, path: Path) -> None:
    """Writes `model.onnx` as `packline_recommendation.layout` has it.

    Args:
        recommender: What to write; parts whose weight is 0 are left out.
        path: The file.
    """
    nodes = Nodes()
    parts = _PartWriter(nodes)
    total = ""
    count = 0
    for part, weight in zip(recommender.parts, recommender.weights, strict=True):
        if not weight:
            continue
        raw, count = parts.scores(part)
        scores = nodes.add("Mul", _scaled(nodes, raw), nodes.number(weight))
        total = nodes.add("Add", total, scores) if total else scores
    if recommender.new:
        total = _filled(nodes, total, recommender.new, count)
    # `popular` alone gives one row for whoever asks; `allowed` and the histories give the batch.
    total = nodes.add("Add", total, parts.zeros(count))
    scores = nodes.add("Where", "allowed", total, nodes.number(-np.inf))
    values, indices = nodes.add("TopK", scores, "k", outputs=2, axis=-1, largest=1, sorted=1)
    nodes.write(
        path,
        [
            tensor("items", np.int64, ["batch", "length"]),
            tensor("weights", np.float32, ["batch", "length"]),
            tensor("ages", np.float32, ["batch", "length"]),
            tensor("allowed", np.bool_, ["allowed_batch", count]),
            tensor("k", np.int64, [1]),
        ],
        {"scores": values, "indices": indices},
    )


class _PartWriter:
    """Writes parts, sharing what they have in common."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        shape = nodes.add("Shape", "items")
        self._batch = nodes.add("Gather", shape, nodes.whole(0), axis=0)
        self._known = nodes.add(
            "Cast", nodes.add("Greater", "items", nodes.constant(np.array(0, dtype=np.int64))), to=1
        )
        shifted = nodes.add("Sub", "items", nodes.constant(np.array(1, dtype=np.int64)))
        self._indices = nodes.add("Max", shifted, nodes.constant(np.array(0, dtype=np.int64)))
        self._steps = self._write_steps()

    def zeros(self, count: int) -> str:
        """float32 (batch, count)."""
        shape = self._nodes.add("Concat", self._batch, self._nodes.whole(count), axis=0)
        return str(self._nodes.add("ConstantOfShape", shape))

    def scores(self, part: Part) -> tuple[str, int]:
        """Unscaled scores of a part (batch or 1, items), and the number of items."""
        scorer = part.scorer
        if isinstance(scorer, Constant):
            return self._nodes.constant(scorer.values[None, :]), len(scorer.values)
        if isinstance(scorer, Network):
            vectors, table = network_vectors(self._nodes, scorer)
            return self._products(vectors, table), len(table)
        shares = self._shares(part)
        if isinstance(scorer, Neighbours):
            return self._spread(scorer, shares), len(scorer.indices)
        return self._projected(scorer, shares), len(scorer.vectors)

    def _write_steps(self) -> str:
        """float32 (batch, length), as `Histories.steps`."""
        nodes = self._nodes
        one = nodes.constant(np.array(1, dtype=np.int64))
        ends = nodes.whole(np.iinfo(np.int64).max)
        earlier = nodes.add("Slice", "ages", nodes.whole(0), nodes.whole(-1), nodes.whole(1))
        later = nodes.add("Slice", "ages", nodes.whole(1), ends, nodes.whole(1))
        new = nodes.add("Cast", nodes.add("Not", nodes.add("Equal", earlier, later)), to=1)
        new = nodes.add("Pad", new, nodes.whole(0, 0, 0, 1))
        return str(nodes.add("CumSum", new, one, reverse=1))

    def _shares(self, part: Part) -> str:
        """float32 (batch, length), as `Histories.decayed`."""
        nodes = self._nodes
        shares = nodes.add("Mul", "weights", self._known)
        if part.decay != 1:
            shares = nodes.add("Mul", shares, nodes.add("Pow", nodes.number(part.decay), self._steps))
        if part.rate:
            shares = nodes.add("Mul", shares, nodes.add("Exp", nodes.add("Mul", "ages", nodes.number(-part.rate))))
        return str(shares)

    def _spread(self, table: Neighbours, shares: str) -> str:
        """A neighbour table's scores."""
        nodes = self._nodes
        rows, indices, values = _compact(table)
        picked = nodes.add("Gather", nodes.constant(rows), self._indices, axis=0)
        flat = nodes.add("Concat", self._batch, nodes.whole(-1), axis=0)
        targets = nodes.add("Reshape", nodes.add("Gather", nodes.constant(indices), picked, axis=0), flat)
        added = nodes.add("Gather", nodes.constant(values), picked, axis=0)
        added = nodes.add("Mul", added, nodes.add("Unsqueeze", shares, nodes.whole(-1)))
        added = nodes.add("Reshape", added, flat)
        empty = self.zeros(len(table.indices))
        return str(nodes.add("ScatterElements", empty, targets, added, axis=1, reduction="add"))

    def _projected(self, factors: Factors, shares: str) -> str:
        """Low-rank scores."""
        nodes = self._nodes
        vectors = nodes.add("Gather", nodes.constant(factors.vectors), self._indices, axis=0)
        summed = nodes.add("MatMul", nodes.add("Unsqueeze", shares, nodes.whole(1)), vectors)
        mixed = nodes.add("MatMul", nodes.add("Squeeze", summed, nodes.whole(1)), nodes.constant(factors.mix))
        return self._products(mixed, factors.vectors)

    def _products(self, vectors: str, table: Floats) -> str:
        """Products with every item's vector, without a transposed copy."""
        return str(self._nodes.add("Gemm", vectors, self._nodes.constant(table), transB=1))


def _compact(table: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of each item, and the rows without those that are empty, which share the first."""
    full = np.flatnonzero(table.values.any(axis=1))
    rows = np.zeros(len(table.values), dtype=np.int32)
    rows[full] = np.arange(1, len(full) + 1)
    nothing = np.zeros((1, table.values.shape[1]))
    indices = np.concatenate([nothing, table.indices[full]]).astype(np.int32)
    return rows, indices, np.concatenate([nothing, table.values[full]]).astype(np.float32)


def _scaled(nodes: Nodes, raw: str) -> str:
    """As `parts.scaled`."""
    last = nodes.whole(-1)
    centred = nodes.add("Sub", raw, nodes.add("ReduceMean", raw, last))
    variance = nodes.add("ReduceMean", nodes.add("Mul", centred, centred), last)
    deviation = nodes.add("Add", nodes.add("Sqrt", variance), nodes.number(EPSILON))
    return str(nodes.add("Div", centred, deviation))


def _filled(nodes: Nodes, scores: str, new: NewItems, count: int) -> str:
    """As `NewItems.fill`: the new items' scores are put behind all others and taken from there."""
    taken = nodes.add("Gather", scores, nodes.constant(new.like), axis=1)
    made = nodes.add("ReduceSum", nodes.add("Mul", taken, nodes.constant(new.shares)), nodes.whole(-1), keepdims=0)
    made = nodes.add("Add", made, nodes.constant(new.offset))
    order = np.arange(count, dtype=np.int64)
    order[new.items] = count + np.arange(len(new.items))
    return str(nodes.add("Gather", nodes.add("Concat", scores, made, axis=1), nodes.constant(order), axis=1))
