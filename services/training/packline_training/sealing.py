"""Seals what a task exported: signature of every ONNX file, answers to the reference inputs, provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packline_core.bundle import MANIFEST, Bundle, Reference, open_bundle, seal
from packline_core.runtime import Runtime, create_session
from packline_core.task import Task

REFERENCES = "references"
_ANSWER = ".answer.json"
_SOFTWARE = ("packline-core", "packline-training", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "torch")
_DTYPES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a bundle comes from, for its manifest."""

    base: str
    dataset: str
    metrics: Mapping[str, float]
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]


def seal_export(task: Task, folder: Path, origin: Origin, runtime: Runtime, now: datetime) -> Bundle:
    """Seals the files that `Task.export` wrote.

    A task that sealed them itself keeps the references and the signature that it gave. Otherwise every file below
    `references/` is a payload, and the bundle's own answers to them are sealed with it, so that each copy can be
    proved to answer alike.

    Raises:
        BundleRejected: The files cannot be opened, or fail on their reference inputs.
    """

    def seal_as(references: tuple[Reference, ...], signature: Mapping[str, Any]) -> Bundle:
        return seal(
            folder,
            task=task.name,
            base=origin.base,
            created_at=now,
            signature=signature,
            references=references,
            metrics=origin.metrics,
            dataset=origin.dataset,
            provenance=origin.provenance,
            notes=origin.notes,
        )

    if (folder / MANIFEST).exists():
        given = open_bundle(folder).manifest
        return seal_as(given.references, given.signature or _signature(folder, runtime))
    payloads = sorted(path for path in (folder / REFERENCES).rglob("*") if path.is_file())
    signature = _signature(folder, runtime)
    if not payloads:
        return seal_as((), signature)
    predictor = task.load(seal_as((), signature), runtime)
    references = []
    for path in payloads:
        answer = path.with_name(path.name + _ANSWER)
        answer.write_text(predictor.answer(path.read_bytes()), encoding="utf8")
        references.append(Reference(path.relative_to(folder).as_posix(), answer.relative_to(folder).as_posix()))
    predictor.close()
    return seal_as(tuple(references), signature)


def software() -> dict[str, str]:
    """Versions of what makes a bundle."""
    found = {"python": platform.python_version()}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _signature(folder: Path, runtime: Runtime) -> dict[str, Any]:
    found = {}
    for path in sorted(folder.rglob("*.onnx")):
        session = create_session(path, runtime)
        sides = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
        found[path.relative_to(folder).as_posix()] = {
            side: [[value.name, _dtype(value.type), list(value.shape)] for value in values]
            for side, values in sides.items()
        }
    return found


def _dtype(kind: str) -> str:
    """Numpy's name of onnxruntime's `tensor(float)`."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)
