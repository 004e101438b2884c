"""Predictions folded into sums that add up: per minute and per hour, version and kind.

A comparison over days then reads a few thousand sums, not millions of predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from packline_monitoring.domain import Prediction
from packline_monitoring.histogram import bin_of

MINUTE = 60
HOUR = 3600


class Kind(StrEnum):
    """What a sum is about; its `name` is then a code, a bin, a signal's name, or empty."""

    CODE = "code"
    LATENCY = "latency"
    SIGNAL = "signal"
    AGREEMENT = "agreement"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Key:
    """What one sum stands for. `start` is in seconds since 1970, `unit` 60 or 3600."""

    pack: str
    unit: int
    start: int
    model_version: str
    shadow: bool
    kind: str
    name: str


@dataclass(slots=True)
class Amount:
    """A count of calls, and the sum of their numbers where they have one."""

    count: int = 0
    total: float = 0.0


def fold(predictions: Iterable[Prediction]) -> dict[Key, Amount]:
    """The sums of some predictions, per minute and per hour."""
    sums: dict[Key, Amount] = {}

    def add(key: Key, total: float) -> None:
        amount = sums.setdefault(key, Amount())
        amount.count += 1
        amount.total += total

    for p in predictions:
        start = int(p.at.timestamp()) // MINUTE * MINUTE
        place = (p.pack, MINUTE, start, p.model_version, p.shadow)
        add(Key(*place, Kind.CODE, str(p.code)), 0.0)
        if p.code == 0:
            add(Key(*place, Kind.LATENCY, str(bin_of(p.latency))), p.latency)
            if p.shadow:
                add(Key(*place, Kind.AGREEMENT, ""), p.agreement)
        for name, value in p.signals.items():
            add(Key(*place, Kind.SIGNAL, name), value)
    return _with_hours(sums)


def fold_dropped(dropped: Mapping[str, int], now: datetime) -> dict[Key, Amount]:
    """The sums of predictions that never arrived, by Pack."""
    start = int(now.timestamp()) // MINUTE * MINUTE
    return _with_hours(
        {Key(pack, MINUTE, start, "", False, Kind.DROPPED, ""): Amount(n) for pack, n in dropped.items() if n}
    )


def _with_hours(sums: dict[Key, Amount]) -> dict[Key, Amount]:
    hours: dict[Key, Amount] = {}
    for key, amount in sums.items():
        start = key.start // HOUR * HOUR
        hour = Key(key.pack, HOUR, start, key.model_version, key.shadow, key.kind, key.name)
        into = hours.setdefault(hour, Amount())
        into.count, into.total = into.count + amount.count, into.total + amount.total
    return sums | hours
