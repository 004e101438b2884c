"""Sealed bundles of this task: good ones that differ in their answers, and bad ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from packline_core.bundle import Bundle, Reference, seal

from packline_echo.config import MODEL, EchoSettings, Fault
from packline_echo.domain import answer_json, values_json
from packline_echo.graphs import WIDTH, write_chain, write_offset

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def write_bundle(
    folder: Path,
    *,
    offset: float = 0.0,
    depth: int = 0,
    fault: Fault = "",
    input_name: str = "values",
    base: str = "identity",
) -> Bundle:
    """Writes and seals a bundle; the same arguments always give the same digest.

    Args:
        folder: An empty folder, or one that is made.
        offset: Added to every answer, so that answers tell which bundle gave them.
        depth: Matrix products; 0 gives the graph that only adds.
        fault: How it misbehaves.
        input_name: Of the graph; anything but `values` is a wrong signature.
        base: What it stands on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if depth:
        write_chain(folder / MODEL, depth, offset)
    else:
        write_offset(folder / MODEL, offset, input_name=input_name)
    EchoSettings(WIDTH if depth else 0, offset, fault).write(folder)
    references: tuple[Reference, ...] = ()
    if input_name == "values":
        references = (_write_reference(folder, offset, depth),)
    return seal(
        folder,
        task="echo",
        base=base,
        created_at=_EPOCH,
        signature={MODEL: {"inputs": [[input_name, "float32", ["n"]]], "outputs": [["answers", "float32", ["n"]]]}},
        references=references,
    )


def _write_reference(folder: Path, offset: float, depth: int) -> Reference:
    import onnxruntime as ort

    values = np.linspace(-1, 1, WIDTH, dtype=np.float32)
    session = ort.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])
    answers = session.run(None, {"values": values[None] if depth else values})[0].ravel()
    (folder / "reference").mkdir(exist_ok=True)
    (folder / "reference" / "payload.json").write_text(values_json(values), encoding="utf8")
    (folder / "reference" / "answer.json").write_text(answer_json(answers), encoding="utf8")
    return Reference("reference/payload.json", "reference/answer.json")
