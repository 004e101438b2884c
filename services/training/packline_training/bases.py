"""Builds a base model's sealed bundle into the store; runs in a process of its own (`worker`)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packline_core.bundle import Bundle, verify
from packline_core.store import ObjectStore
from packline_core.task import get_task

BUNDLES = "bundles"


def build_base(task: str, base: str, store: str) -> dict[str, Any]:
    """Builds and stores a base; the answer has its `digest`, `object_name` and `metrics`."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        folder.mkdir()
        get_task(task).build_base(base, folder)
        bundle = verify(folder)
        return {
            "digest": bundle.digest,
            "object_name": put_bundle(ObjectStore(store), bundle),
            "metrics": dict(bundle.manifest.metrics),
        }


def put_bundle(store: ObjectStore, bundle: Bundle) -> str:
    """Keeps a bundle; returns its name."""
    return store.put_folder(BUNDLES, bundle.folder, bundle.digest)
