"""What a replica sees of the Pack's state beside each user's own events: items of the list, and what is taken of late.

It is brought up to date a moment after a change; `refresh` does it at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from packline_recommendation.events import REFUSALS, WEIGHTS
from packline_recommendation.examples import Item
from packline_recommendation.state import PackState, Told

# An event counts half as much after it.
HALF_LIFE = 30 * 86_400.0
_MOST_CONTEXTS = 1000
_MOST_EXPONENT = 900.0


@dataclass
class Tally:
    """How popular items are by the events after one moment; recent ones count more.

    Attributes:
        since: Seconds since 1970.
        counts: By item.
        by_context: By (key, value) of a context, then by item.
        number: Of the newest event counted.
    """

    since: int
    counts: dict[str, float] = field(default_factory=dict)
    by_context: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    number: int = 0

    def add(self, told: Told) -> None:
        """Counts one event."""
        self.number = told.number
        raw = told.raw
        if raw.event in REFUSALS:
            return
        weight = raw.weight if raw.weight is not None else WEIGHTS.get(raw.event, 1.0)
        # Relative to the first moment, so that nothing has to be counted anew as time goes by.
        gained = math.copysign(2.0 ** min((raw.time - self.since) / HALF_LIFE, _MOST_EXPONENT), weight) * abs(weight)
        gained = -abs(gained) if raw.is_return else gained
        for counts in (self.counts, *self._of(told.context)):
            left = counts.get(raw.item, 0.0) + gained
            counts[raw.item] = max(left, 0.0)

    def _of(self, context: Mapping[str, str]) -> list[dict[str, float]]:
        found = []
        for pair in context.items():
            counts = self.by_context.get(pair)
            if counts is None and len(self.by_context) < _MOST_CONTEXTS:
                counts = self.by_context[pair] = {}
            if counts is not None:
                found.append(counts)
        return found


class StateView:
    """Kept by one replica. Thread-safe: what it gives out is never changed, but replaced.

    Args:
        state: The Pack's.
    """

    def __init__(self, state: PackState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._tallies: dict[int, Tally] = {}
        self._change = 0
        self.items: Mapping[str, Item] = {}
        self.revision = 0

    def tally(self, since: int) -> Tally:
        """What is popular by the events after `since`."""
        found = self._tallies.get(since)
        if found is None:
            with self._lock:
                found = self._tallies.setdefault(since, Tally(since))
                self._count(found)
        return found

    def refresh(self) -> None:
        """Takes in what came since the last time."""
        with self._lock:
            fresh = list(self._state.listed(self._change))
            if fresh:
                self._change = fresh[-1][0]
                self.items = {**self.items, **{item.id: item for _, item in fresh}}
                self.revision += 1
            for tally in self._tallies.values():
                self._count(tally)

    def forget(self, *used: int) -> None:
        """Lets go of the tallies that no open version goes by."""
        with self._lock:
            for since in set(self._tallies) - set(used):
                del self._tallies[since]

    def _count(self, tally: Tally) -> None:
        before = tally.number
        for told in self._state.events(tally.number, tally.since):
            tally.add(told)
        if tally.number != before:
            self.revision += 1
