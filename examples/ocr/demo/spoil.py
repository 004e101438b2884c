"""Spoils a model on purpose, to show what protects a factory from one: noise is added to the weights of its recogniser.

The bundle is sealed anew with its own wrong answers as references: it is intact, loads and runs, and reads badly. Only
a comparison on known documents, or the users, can tell.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from packline_core.bundle import Bundle, open_bundle, seal
from packline_core.runtime import Runtime
from packline_core.task import get_task


def spoil(good: Path, folder: Path, noise: float, seed: int = 0) -> Bundle:
    """Writes a spoiled copy of a bundle.

    Args:
        good: The sealed bundle's folder.
        folder: Where the copy goes; must not exist.
        noise: Standard deviation of what is added, as a share of each weight's own.
        seed: Of the noise.
    """
    source = open_bundle(good)
    shutil.copytree(good, folder)
    path = folder / "recogniser.onnx"
    model = onnx.load(str(path))
    rng = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim >= 2:
            noisy = weights + noise * weights.std() * rng.standard_normal(weights.shape, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(noisy.astype(np.float32), tensor.name))
    onnx.save(model, str(path))
    manifest = source.manifest
    draft = seal(
        folder,
        task=manifest.task,
        base=manifest.base,
        created_at=datetime.now(UTC),
        signature=manifest.signature,
        references=(),
    )
    predictor = get_task(manifest.task).load(draft, Runtime(("CPUExecutionProvider",), 0))
    for reference in manifest.references:
        answer = predictor.answer((folder / reference.payload).read_bytes())
        (folder / reference.answer).write_text(answer, encoding="utf8")
    predictor.close()
    return seal(
        folder,
        task=manifest.task,
        base=manifest.base,
        created_at=datetime.now(UTC),
        signature=manifest.signature,
        references=manifest.references,
        notes=("spoiled on purpose by the demo",),
    )
