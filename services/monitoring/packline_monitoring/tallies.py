"""Predictions folded into sums that add up: per minute and per hour, version and kind.

A comparison over days then reads a few thousand sums, not millions of predictions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
    # Answers that callers got and that are kept: what a hit rate is a share of, also once retention has removed them.
    KEPT = "kept"
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

    def add(self, number: float) -> None:
        """Counts one call with its number."""
        self.count += 1
        self.total += number


@dataclass(slots=True)
class _Minute:
    """One version's minute while it is being folded."""

    codes: Counter[int] = field(default_factory=Counter)
    bins: dict[int, Amount] = field(default_factory=lambda: defaultdict(Amount))
    signals: dict[str, Amount] = field(default_factory=lambda: defaultdict(Amount))
    agreement: Amount = field(default_factory=Amount)
    kept: int = 0

    def sums(self) -> Iterator[tuple[Kind, str, Amount]]:
        yield from ((Kind.CODE, str(code), Amount(count)) for code, count in self.codes.items())
        yield from ((Kind.LATENCY, str(index), amount) for index, amount in self.bins.items())
        yield from ((Kind.SIGNAL, name, amount) for name, amount in self.signals.items())
        if self.agreement.count:
            yield Kind.AGREEMENT, "", self.agreement
        if self.kept:
            yield Kind.KEPT, "", Amount(self.kept)


def fold(predictions: Iterable[Prediction]) -> dict[Key, Amount]:
    """The sums of some predictions, per minute and per hour."""
    minutes: dict[tuple[str, int, str, bool], _Minute] = defaultdict(_Minute)
    for p in predictions:
        start = int(p.at.timestamp()) // MINUTE * MINUTE
        minute = minutes[p.pack, start, p.model_version, p.shadow]
        minute.codes[p.code] += 1
        if p.code == 0:
            minute.bins[bin_of(p.latency)].add(p.latency)
            if p.shadow:
                minute.agreement.add(p.agreement)
            elif p.answer_json:
                minute.kept += 1
        for name, value in p.signals.items():
            minute.signals[name].add(value)
    return _with_hours(
        {
            Key(pack, MINUTE, start, version, shadow, kind, name): amount
            for (pack, start, version, shadow), minute in minutes.items()
            for kind, name, amount in minute.sums()
        }
    )


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
