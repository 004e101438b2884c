"""Bundles with a small real graph, made in a moment: a history's vector is the sum of its items' vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from packline_core.bundle import Bundle, Reference, open_bundle, seal
from packline_core.runtime import Runtime
from packline_recommendation import layout
from packline_recommendation.engine import RecommendationPredictor
from packline_recommendation.examples import Event, Query, query_payload

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400
NOW = 1_700_000_000


def write_model(path: Path, vectors: np.ndarray) -> None:
    """scores = sum of (weight * vector) over the history, times all vectors."""
    count, width = vectors.shape
    padded = np.concatenate([np.zeros((1, width), np.float32), vectors.astype(np.float32)])
    nodes = [
        helper.make_node("Gather", ["padded", "items"], ["taken"], axis=0),
        helper.make_node("Unsqueeze", ["weights", "last"], ["shares"]),
        helper.make_node("Mul", ["taken", "shares"], ["weighed"]),
        helper.make_node("ReduceSum", ["weighed", "one"], ["summed"], keepdims=0),
        helper.make_node("Gemm", ["summed", "vectors"], ["all"], transB=1),
        helper.make_node("ReduceSum", ["ages", "one"], ["age"], keepdims=1),
        helper.make_node("Mul", ["age", "nought"], ["nothing"]),
        helper.make_node("Add", ["all", "nothing"], ["total"]),
        helper.make_node("Where", ["allowed", "total", "low"], ["masked"]),
        helper.make_node("TopK", ["masked", "k"], ["scores", "indices"], axis=-1),
    ]
    constants = {
        "padded": padded,
        "vectors": vectors.astype(np.float32),
        "last": np.array([-1], np.int64),
        "one": np.array([1], np.int64),
        "nought": np.array(0, np.float32),
        "low": np.array(-np.inf, np.float32),
    }
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            info("items", TensorProto.INT64, ["batch", "length"]),
            info("weights", TensorProto.FLOAT, ["batch", "length"]),
            info("ages", TensorProto.FLOAT, ["batch", "length"]),
            info("allowed", TensorProto.BOOL, ["allowed_batch", count]),
            info("k", TensorProto.INT64, [1]),
        ],
        [info("scores", TensorProto.FLOAT, None), info("indices", TensorProto.INT64, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    # A graph above 2 GiB has its constants beside it.
    onnx.save(model, str(path), save_as_external_data=padded.nbytes > 1 << 28, location="model.data")


def write_bundle(
    folder: Path,
    *,
    vectors: np.ndarray,
    users: Sequence[layout.KnownUser] = (),
    attributes: Sequence[Mapping[str, str]] | None = None,
    contexts: Mapping[tuple[str, str], tuple[Sequence[int], Sequence[float]]] | None = None,
    neighbours: tuple[np.ndarray, np.ndarray] | None = None,
    repeats: bool = False,
    timed: bool = True,
) -> Bundle:
    """Items are called i0, i1, …; the first is the most popular."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(vectors)
    write_model(folder / layout.MODEL, vectors)
    layout.write_settings(layout.Settings("sum", 50, timed, repeats, NOW - DAY), folder)
    layout.write_items(
        folder,
        ids=[f"i{n}" for n in range(count)],
        texts=[f"Item {n}" for n in range(count)],
        attributes=attributes or [{}] * count,
        popularity=np.linspace(1, 0.1, count, dtype=np.float32),
        events=np.ones(count, np.int64),
    )
    layout.write_histories(folder, users)
    layout.write_contexts(folder, contexts or {})
    if neighbours:
        layout.write_neighbours(folder, *neighbours)
    (folder / layout.REFERENCES).mkdir(exist_ok=True)
    reference = Reference("references/q.json", "references/q.json.answer.json")
    query = Query("", (Event("i0", "purchase", 1.0, NOW - DAY),), now=NOW)
    (folder / reference.payload).write_bytes(query_payload(query))

    def sealed(references: tuple[Reference, ...]) -> Bundle:
        return seal(
            folder, task="recommendation", base="popular", created_at=_EPOCH, signature={}, references=references
        )

    sealed(())
    predictor = RecommendationPredictor(open_bundle(folder), Runtime(threads=1))
    (folder / reference.answer).write_text(predictor.answer((folder / reference.payload).read_bytes()), "utf8")
    predictor.close()
    return sealed((reference,))


def circle(count: int) -> np.ndarray:
    """Vectors on a circle: the nearer two numbers, the more alike their items."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
