"""One pass over all Packs: observe, decide, do, tell. Adapters call it again and again; nothing in it waits.

What a pass has done is true before it is told (registry first, then events, then status), so a loop that is killed
anywhere finds on its next pass what is left to do, and tells what it had not told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from packline_core.errors import PacklineError

from packline_operator.act import Actor, Failures
from packline_operator.domain import ApplyServing, Event, Outcome, Status
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
class _Decided:
    """What is to be done of one Pack; `before` is the status until now."""

    outcome: Outcome
    before: Status | None
    at: datetime


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
        # What else this pass wants in the fleet's configuration, and has not written yet.
        self._together: dict[str, Mapping[str, Any] | None] = {}
        self._max_packs = max_packs
        self._guard = guard
        self._actor = Actor(training, monitoring, self._apply_serving, source.remove, die_after=die_after, guard=guard)

    def run_pass(self, only: Container[str] | None = None) -> Pass:
        """Looks at every Pack once, or at those that are named."""
        declared = self._source.declared()
        view = self._view({pack.name for pack in declared})
        self._failures = {pack.name: self._failures.get(pack.name, Failures()) for pack in declared}
        late = {pack.name for pack in declared[self._max_packs :]}
        looks = {pack.name: _Look() for pack in declared if only is None or pack.name in only}
        decided: dict[str, _Decided] = {}
        for pack in declared:
            if pack.name in looks:
                with _guarded(pack.name):
                    decided[pack.name] = self._decide(pack, view, self._max_packs if pack.name in late else 0)
        self._together = dict(self._to_serve(decided))
        for name, one in decided.items():
            with _guarded(name):
                looks[name] = self._carry_out(name, one)
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

    def _decide(self, declared: Declared, view: FleetView | PacklineError, limit: int) -> _Decided:
        name, now = declared.name, self._clock()
        status = status_from_json(self._source.status(name))
        observed = observe(
            declared,
            status=status,
            training=self._training,
            monitoring=self._monitoring,
            fleet=view,
            failures=self._failures[name].told(),
            now=now,
            limit=limit,
        )
        return _Decided(reconcile(observed, now), status, now)

    def _carry_out(self, name: str, decided: _Decided) -> _Look:
        outcome = decided.outcome
        acted = self._actor.act(name, outcome.actions, self._failures[name], decided.at)
        try:
            if outcome.events:
                self._source.add_events(name, [_event_json(event) for event in outcome.events])
            self._source.write_status(name, status_to_json(outcome.status))
        except PacklineError as error:
            # A full disk must not stop the loop: what is true lies in the registry, and is told once there is room.
            _log.warning("%s: its status cannot be written: %s", name, error.message)
        return _Look(acted, _settled(outcome.status), outcome.status != decided.before)

    def _to_serve(self, decided: Mapping[str, _Decided]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
        """What may be written at once, since no other action of its Pack comes before it."""
        for name, one in decided.items():
            first = next(iter(one.outcome.actions), None)
            if isinstance(first, ApplyServing) and not self._failures[name].waits(first, one.at):
                yield name, first.config

    def _apply_serving(self, pack: str, action: ApplyServing) -> None:
        """Writes it with all that waits to be written: a hundred new Packs are not a hundred changes of the fleet."""
        # Taken before it is written: where all together are refused, each of the others is tried alone.
        wanted, self._together = {**self._together, pack: action.config}, {}
        configs = {name: config for name, config in {**self._configs, **wanted}.items() if config is not None}
        if configs != self._configs:
            self._fleet.put(configs)
            self._configs = configs


@contextmanager
def _guarded(pack: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # whatever one Pack's files or peers do, the other Packs have their turn
        _log.exception("%s: this pass failed", pack)


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
