"""One pass over all Packs: observe, decide, do, tell. Adapters call it again and again; nothing in it waits.

What a pass has done is true before it is told (registry first, then events, then status), so a loop that is killed
anywhere finds on its next pass what is left to do, and tells what it had not told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from packline_core.errors import PacklineError

from packline_operator.act import Actor, Failures
from packline_operator.domain import ApplyServing, Event, Status
from packline_operator.observe import observe
from packline_operator.peers import Monitoring, Training
from packline_operator.ports import Declared, FleetPort, FleetView, PackSource
from packline_operator.reconcile import reconcile
from packline_operator.status_json import status_from_json, status_to_json

_log = logging.getLogger(__name__)
# What one Ray carries well, most of them asleep; more Packs are more fleets.
MAX_PACKS = 100


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to.

    Attributes:
        acted: Whether anything was done, and so may have led to more.
        settled: Whether nothing is under way.
        fleet_error: Why the fleet's configuration could not be read.
        moving: The Packs of which something was done, or is told differently than before.
        waiting: The Packs of which something is under way.
    """

    acted: bool
    settled: bool
    fleet_error: PacklineError | None = None
    moving: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Look:
    """What the look at one Pack came to."""

    acted: bool = False
    settled: bool = False
    changed: bool = False


class Loop:
    """The loop over one fleet.

    Args:
        source: Where Packs are declared.
        fleet: Where the fleet's configuration stands.
        training: The training service.
        monitoring: The monitoring service.
        clock: The time, UTC-aware.
        die_after: See `act.DIE_AFTER`.
        guard: See `act.Actor`.
        max_packs: How many Packs the fleet carries; the oldest have the places.
    """

    def __init__(
        self,
        *,
        source: PackSource,
        fleet: FleetPort,
        training: Training,
        monitoring: Monitoring,
        clock: Callable[[], datetime],
        die_after: int = 0,
        guard: Callable[[], None] = lambda: None,
        max_packs: int = MAX_PACKS,
    ) -> None:
        self._source = source
        self._fleet = fleet
        self._training = training
        self._monitoring = monitoring
        self._clock = clock
        self._failures: dict[str, Failures] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._max_packs = max_packs
        self._guard = guard
        self._actor = Actor(training, monitoring, self._apply_serving, source.remove, die_after=die_after, guard=guard)

    def run_pass(self, only: Container[str] | None = None) -> Pass:
        """Looks at every Pack once, or at those that are named."""
        declared = self._source.declared()
        view = self._view({pack.name for pack in declared})
        self._failures = {pack.name: self._failures.get(pack.name, Failures()) for pack in declared}
        late = {pack.name for pack in declared[self._max_packs :]}
        looks = {
            pack.name: self._guarded(pack, view, self._max_packs if pack.name in late else 0)
            for pack in declared
            if only is None or pack.name in only
        }
        return Pass(
            acted=any(look.acted for look in looks.values()),
            settled=all(look.settled for look in looks.values()),
            fleet_error=view if isinstance(view, PacklineError) else view.trouble,
            moving=frozenset(name for name, look in looks.items() if look.acted or look.changed),
            waiting=frozenset(name for name, look in looks.items() if not look.settled),
        )

    def _view(self, declared: set[str]) -> FleetView | PacklineError:
        try:
            view = self._fleet.view()
        except PacklineError as error:
            return error
        self._configs = {name: s.config for name, s in view.packs.items() if s.config is not None}
        strangers = set(self._configs) - declared
        if strangers or not view.current:
            # Services or ports are not as wanted, or something serves that nobody declared.
            _log.info("the fleet's configuration is put right%s", f"; out: {sorted(strangers)}" if strangers else "")
            self._configs = {name: config for name, config in self._configs.items() if name in declared}
            try:
                self._guard()
                self._fleet.put(self._configs)
            except PacklineError as error:
                _log.warning("the fleet does not take its configuration: %s", error.message)
        return view

    def _guarded(self, declared: Declared, view: FleetView | PacklineError, limit: int) -> _Look:
        try:
            return self._one(declared, view, limit)
        except Exception:  # whatever one Pack's files or peers do, the other Packs have their turn
            _log.exception("%s: this pass failed", declared.name)
            return _Look()

    def _one(self, declared: Declared, view: FleetView | PacklineError, limit: int) -> _Look:
        name, now = declared.name, self._clock()
        failures = self._failures[name]
        status = status_from_json(self._source.status(name))
        observed = observe(
            declared,
            status=status,
            training=self._training,
            monitoring=self._monitoring,
            fleet=view,
            failures=failures.told(),
            now=now,
            limit=limit,
        )
        outcome = reconcile(observed, now)
        acted = self._actor.act(name, outcome.actions, failures, now)
        try:
            if outcome.events:
                self._source.add_events(name, [_event_json(event) for event in outcome.events])
            self._source.write_status(name, status_to_json(outcome.status))
        except PacklineError as error:
            # A full disk must not stop the loop: what is true lies in the registry, and is told once there is room.
            _log.warning("%s: its status cannot be written: %s", name, error.message)
        return _Look(acted, _settled(outcome.status), outcome.status != status)

    def _apply_serving(self, pack: str, action: ApplyServing) -> None:
        configs = {name: config for name, config in self._configs.items() if name != pack}
        if action.config is not None:
            configs[pack] = action.config
        self._fleet.put(configs)
        self._configs = configs


def _settled(status: Status) -> bool:
    return all(condition.status == "True" for condition in status.conditions)


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "key": event.key,
        "at": event.at.isoformat(),
        "type": "Warning" if event.warning else "Normal",
        "reason": str(event.reason),
        "message": event.message,
    }
