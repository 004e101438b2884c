"""A Pack as its manifest and the loop's status tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packline_core.packs import PackFiles, StoredPack


@dataclass(frozen=True, slots=True)
class PackView:
    """One Pack.

    Attributes:
        ready: True, False or Unknown, as of its condition `Ready`.
        reason: The condition's reason.
        message: The condition's words.
        phase: Pending, Idle, Shadow, Canary or Deleting.
        traffic: Version -> percent of the calls.
        why: How it came to this.
        next: What comes next.
        generation: Of the manifest.
        observed_generation: The newest manifest that the loop has taken in; 0 before the first.
    """

    name: str
    task: str
    ready: str
    reason: str
    message: str
    phase: str
    active: str
    candidate: str
    traffic: Mapping[str, int]
    why: str
    next: str
    created_at: datetime | None
    generation: int
    observed_generation: int

    @property
    def shares(self) -> str:
        """`v1 90%, v2 10%`."""
        return ", ".join(f"{version} {percent}%" for version, percent in self.traffic.items())

    @property
    def failed(self) -> bool:
        """Whether waiting will not help."""
        return self.reason in {"ManifestUnreadable", "ServingFailed"}


def view_pack(stored: StoredPack, status: Mapping[str, Any] | None) -> PackView:
    """Puts manifest and status together."""
    status = status or {}
    ready: Mapping[str, Any] = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    return PackView(
        name=stored.pack.name,
        task=stored.pack.spec.task,
        ready=ready.get("status", "Unknown"),
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        phase="Deleting" if stored.deleting else status.get("phase") or "Pending",
        active=status.get("active", ""),
        candidate=status.get("candidate", ""),
        traffic=status.get("traffic", {}),
        why=status.get("why", ""),
        next=status.get("next", ""),
        created_at=stored.created_at,
        generation=stored.generation,
        observed_generation=status.get("observedGeneration", 0),
    )


def view_packs(files: PackFiles) -> list[PackView]:
    """Every Pack, those included whose manifest cannot be read."""
    scan = files.scan()
    views = [view_pack(stored, files.read_status(name)) for name, stored in scan.packs.items()]
    for name, error in scan.unreadable.items():
        views.append(
            PackView(
                name=name,
                task="",
                ready="False",
                reason=error.reason,
                message=error.message,
                phase="",
                active="",
                candidate="",
                traffic={},
                why=error.message,
                next="",
                created_at=None,
                generation=0,
                observed_generation=0,
            )
        )
    return sorted(views, key=lambda view: view.name)
