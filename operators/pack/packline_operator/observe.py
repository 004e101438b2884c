"""From the peers to `Observed`: who does not answer becomes a fact, and the others are asked all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from packline_core.errors import PacklineError
from packline_core.units import parse_duration

from packline_operator.domain import Observed, Status
from packline_operator.facts import Figures, Monitored, Peer, Registry, Serving
from packline_operator.peers import Monitoring, Training
from packline_operator.ports import Declared, FleetView
from packline_operator.rollout import watched_promotion

_T = TypeVar("_T")


def observe(
    declared: Declared,
    *,
    status: Status | None,
    training: Training,
    monitoring: Monitoring,
    fleet: FleetView | PacklineError,
    failures: Mapping[str, str],
    now: datetime,
    limit: int = 0,
) -> Observed:
    """Looks at one Pack.

    Args:
        declared: The Pack as applied.
        status: What was told last.
        training: Asked for the registry.
        monitoring: Asked for figures and replicas.
        fleet: Serve's view of all Packs, or why there is none.
        failures: Actions that failed when last tried -> why.
        now: The time.
        limit: See `Observed.limit`.
    """
    unreachable: dict[Peer, str] = {}
    pools = None if isinstance(fleet, PacklineError) else fleet.pools
    fleet = fleet.trouble or fleet if isinstance(fleet, FleetView) else fleet

    def ask(peer: Peer, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except PacklineError as error:
            unreachable[peer] = f"{peer} does not answer: {error.message}"
            return None

    registry = ask(Peer.TRAINING, lambda: training.registry(declared.name))
    monitored = ask(Peer.MONITORING, lambda: _monitored(declared, registry, monitoring, now))
    serving: Serving | None = None
    if isinstance(fleet, PacklineError):
        unreachable[Peer.SERVE] = f"{Peer.SERVE} does not answer: {fleet.message}"
    else:
        serving = fleet.packs.get(declared.name, Serving())
    return Observed(
        name=declared.name,
        generation=declared.generation,
        manifest=declared.manifest,
        unreadable=declared.unreadable,
        deleting=declared.deleting,
        status=status,
        registry=registry,
        monitored=monitored,
        serving=serving,
        unreachable=unreachable,
        failures=failures,
        pools=pools,
        limit=limit,
    )


def _monitored(declared: Declared, registry: Registry | None, monitoring: Monitoring, now: datetime) -> Monitored:
    if registry is None:
        return Monitored()
    figures, corrections = monitoring.figures(declared.name, registry.since)
    before: Mapping[str, Figures] = {}
    if declared.manifest is not None:
        promotion = watched_promotion(declared.manifest, registry, now)
        if promotion is not None:
            window = min(parse_duration(declared.manifest.spec.rollout.watch), timedelta(days=365))
            before, _ = monitoring.figures(declared.name, promotion.at - window)
    return Monitored(corrections, figures, before, monitoring.replicas(declared.name))
