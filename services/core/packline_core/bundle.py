"""Bundles: immutable folders of ONNX files, vocabularies and reference inputs, named by the digest of their manifest.

A folder is *sealed* by writing `manifest.json`, which holds the sha256 of every other file; the bundle's digest is the
sha256 of that manifest. So a digest fixes every byte, and a folder can be verified wherever it was copied to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from packline_core.errors import BundleRejected

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A payload that every copy must answer as it did when it was sealed: paths inside the bundle."""

    payload: str
    answer: str


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle says of itself.

    Attributes:
        task: Name of the task that loads it.
        base: Base model that it stands on.
        created_at: ISO 8601, UTC.
        files: Every file but the manifest, by path with forward slashes.
        signature: ONNX file -> {"inputs"/"outputs": [[name, dtype, shape], …]}; shape entries are numbers, or names
            where they vary.
        references: Reference inputs with their answers.
        metrics: Figures known when it was sealed.
        dataset: Digest of the dataset version it was trained on; empty for a base.
        provenance: Run, parameters, seed, versions of the code: whatever says how it came to be.
        notes: For people, in sentences.
        format: Version of this form.
    """

    task: str
    base: str
    created_at: str
    files: Mapping[str, FileEntry]
    signature: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    dataset: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Bundle:
    """A sealed folder on this machine."""

    folder: Path
    digest: str
    manifest: BundleManifest

    def path(self, name: str) -> Path:
        """A file of the bundle; raises `BundleRejected` where the manifest does not list it."""
        if name not in self.manifest.files:
            raise BundleRejected(f"bundle {self.digest} holds no {name}", reason="FILE_MISSING", file=name)
        return self.folder / name


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def bytes_digest(data: bytes) -> str:
    """`sha256:…` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def seal(
    folder: Path,
    *,
    task: str,
    base: str,
    created_at: datetime,
    signature: Mapping[str, Any],
    references: tuple[Reference, ...],
    metrics: Mapping[str, float] | None = None,
    dataset: str = "",
    provenance: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Bundle:
    """Seals what lies in `folder` and returns it as a bundle."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    files = {p.relative_to(folder).as_posix(): FileEntry(file_sha256(p), p.stat().st_size) for p in paths}
    manifest = BundleManifest(
        task=task,
        base=base,
        created_at=created_at.isoformat(),
        files=files,
        signature=signature,
        references=references,
        metrics=metrics or {},
        dataset=dataset,
        provenance=provenance or {},
        notes=notes,
    )
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text, encoding="utf8")
    return open_bundle(folder)


def open_bundle(folder: Path) -> Bundle:
    """Reads a sealed folder's manifest, without verifying its files.

    Raises:
        BundleRejected: There is no manifest, or it is not of this form.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise BundleRejected(
                f"{path} has format {raw['format']}, this version of Packline reads {FORMAT}", reason="FORMAT_UNKNOWN"
            )
        raw["files"] = {name: FileEntry(**entry) for name, entry in raw["files"].items()}
        raw["references"] = tuple(Reference(**entry) for entry in raw["references"])
        raw["notes"] = tuple(raw["notes"])
        manifest = BundleManifest(**raw)
    except FileNotFoundError:
        raise BundleRejected(f"{folder} is no bundle: it has no {MANIFEST}", reason="MANIFEST_MISSING") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleRejected(f"{path} cannot be read as a manifest: {error}", reason="MANIFEST_INVALID") from error
    return Bundle(folder, "sha256:" + hashlib.sha256(text).hexdigest(), manifest)


def verify(folder: Path, digest: str | None = None) -> Bundle:
    """Opens a sealed folder and checks every byte of it.

    Args:
        folder: The sealed folder.
        digest: What the bundle must be; left out where any sealed bundle will do.

    Raises:
        BundleRejected: Naming the file that is missing, truncated, changed or unknown.
    """
    bundle = open_bundle(folder)
    if digest is not None and bundle.digest != digest:
        raise BundleRejected(
            f"{folder} holds {bundle.digest}, not {digest}; the manifest was changed or the wrong bundle copied",
            reason="DIGEST_MISMATCH",
        )
    unsafe = [name for name in bundle.manifest.files if Path(name).is_absolute() or ".." in Path(name).parts]
    if unsafe:
        raise BundleRejected(f"the manifest names {unsafe[0]!r}, outside the bundle", reason="MANIFEST_INVALID")
    for name, entry in bundle.manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleRejected(f"{name} is missing from the bundle", reason="FILE_MISSING", file=name)
        size = path.stat().st_size
        if size != entry.size:
            raise BundleRejected(
                f"{name} has {size} bytes where the manifest says {entry.size}; copy the bundle again",
                reason="FILE_TRUNCATED" if size < entry.size else "FILE_CHANGED",
                file=name,
            )
        if file_sha256(path) != entry.sha256:
            raise BundleRejected(f"{name} is not the file that was sealed", reason="FILE_CHANGED", file=name)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if unknown := there - set(bundle.manifest.files):
        raise BundleRejected(f"{sorted(unknown)[0]} is not in the manifest", reason="FILE_UNKNOWN")
    return bundle
