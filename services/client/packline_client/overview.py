"""What every Pack does now: versions, traffic, replicas, speed and errors, gathered from the services."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from packline_client.monitoring import Comparison, Replica, SlotState, VersionFigures

if TYPE_CHECKING:
    from packline_client.client import Client
    from packline_client.training_types import PackState


@dataclass(frozen=True, slots=True)
class PackFigures:
    """One version of a Pack in the last window.

    Attributes:
        role: `active`, `candidate`, or `earlier` for one that answered within the window and does not any more.
        traffic: Percent of the calls that it is to answer.
        ready: Replicas that have it open, of `replicas`.
        per_second: Calls answered to callers a second.
        p50, p90: Latency; of its shadow reads where it answers no callers.
        errors: Calls failed by its fault, as a share; of its shadow reads likewise.
        corrected: Answers that users corrected.
    """

    pack: str
    task: str
    version: str
    role: str
    phase: str
    traffic: int
    ready: int
    replicas: int
    per_second: float
    p50: timedelta | None
    p90: timedelta | None
    errors: float
    corrected: int


def gather(client: Client, now: datetime, window: timedelta) -> list[PackFigures]:
    """The figures of every Pack from `now - window` on."""
    rows: list[PackFigures] = []
    for state in client.training.packs():
        comparison = client.monitoring.compare(state.pack, now - window)
        rows += pack_figures(state, comparison, client.monitoring.replicas(state.pack), window)
    return rows


def pack_figures(
    state: PackState, comparison: Comparison, replicas: tuple[Replica, ...], window: timedelta
) -> Iterable[PackFigures]:
    """One row for active, one for the candidate, and one for each other version that answered in the window."""
    seen = {figures.model_version: figures for figures in comparison.versions}
    roles: dict[str, tuple[str, int]] = {}
    if state.active:
        roles[state.active.version] = ("active", 100 - state.weight)
    if state.candidate:
        roles[state.candidate.version] = ("candidate", state.weight)
    for version in seen:
        roles.setdefault(version, ("earlier", 0))
    for version, (role, traffic) in roles.items():
        figures = seen.get(version)
        shadow = figures is not None and not figures.requests and figures.shadow_requests > 0
        latency = (figures.shadow_latency if shadow else figures.latency) if figures else None
        yield PackFigures(
            pack=state.pack,
            task=state.task,
            version=version,
            role=role,
            phase=state.phase if role == "candidate" else "",
            traffic=traffic,
            ready=sum(_has(replica, version) for replica in replicas),
            replicas=len(replicas),
            per_second=figures.requests / window.total_seconds() if figures else 0.0,
            p50=latency.p50 if latency else None,
            p90=latency.p90 if latency else None,
            errors=_error_share(figures, shadow=shadow),
            corrected=figures.corrected if figures else 0,
        )


def _has(replica: Replica, version: str) -> bool:
    slots = (replica.active, replica.candidate)
    return any(slot and slot.version == version and slot.state == SlotState.READY for slot in slots)


def _error_share(figures: VersionFigures | None, *, shadow: bool) -> float:
    if figures is None:
        return 0.0
    errors, calls = (figures.shadow_errors, figures.shadow_requests) if shadow else (figures.errors, figures.requests)
    return errors / calls if calls else 0.0
