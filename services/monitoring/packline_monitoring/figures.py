"""What a comparison of versions says, read off the sums of a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from packline_monitoring.histogram import quantile
from packline_monitoring.hits import HitRate, OffPolicy
from packline_monitoring.tallies import HOUR, MINUTE, Amount, Kind

CODE_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
# What a bad model can cause. A deadline may be the caller's doing, but it is the same for all versions compared.
FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums of one version over a window."""

    model_version: str
    shadow: bool
    kind: str
    name: str
    count: int
    total: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Latency in seconds, within 1 %."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version in a window. Latencies are of calls that were answered OK; None where there is nothing to tell."""

    model_version: str
    requests: int = 0
    errors: int = 0
    shadow_requests: int = 0
    shadow_errors: int = 0
    latency: Quantiles | None = None
    shadow_latency: Quantiles | None = None
    agreement: float | None = None
    signals: Mapping[str, float] | None = None
    corrected: int = 0
    codes: Mapping[str, int] | None = None
    hits: HitRate | None = None
    off_policy: OffPolicy | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The versions of a Pack in a window, with the Pack's totals."""

    versions: Sequence[VersionFigures]
    corrections_total: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Window:
    """Where each part of a window is read: predictions up to `minutes`, minutes up to `hours`, then hours."""

    since: datetime
    minutes: datetime
    hours: datetime


def window(since: datetime, now: datetime, exact: timedelta) -> Window:
    """How to read from `since` on.

    Args:
        since: Start.
        now: The present.
        exact: How long predictions and minutes are kept; an older start is taken back to its full hour.
    """
    if since < now - exact:
        hour = _floor(since, HOUR)
        return Window(hour, hour, hour)
    return Window(since, _ceil(since, MINUTE), _ceil(since, HOUR))


def figures(
    tallies: Iterable[Tally],
    corrected: Mapping[str, int],
    asked: Sequence[str],
    hits: Mapping[str, HitRate],
    off_policy: Mapping[str, OffPolicy],
) -> list[VersionFigures]:
    """Each version's figures, in the order asked for, or v2 before v10."""
    of: dict[str, list[Tally]] = {name: [] for name in (*asked, *corrected)}
    for tally in tallies:
        if tally.model_version:
            of.setdefault(tally.model_version, []).append(tally)
    names = list(dict.fromkeys(asked)) or sorted(of, key=lambda name: (len(name), name))
    return [
        replace(_figures(name, of[name], corrected.get(name, 0)), hits=hits.get(name), off_policy=off_policy.get(name))
        for name in names
    ]


def _figures(version: str, tallies: Sequence[Tally], corrected: int) -> VersionFigures:
    requests, errors = [0, 0], [0, 0]
    bins: tuple[dict[int, int], dict[int, int]] = ({}, {})
    codes: dict[str, int] = {}
    signals: dict[str, Amount] = {}
    agreement = Amount()
    for tally in tallies:
        if tally.kind == Kind.CODE:
            name = CODE_NAMES[int(tally.name)]
            requests[tally.shadow] += tally.count
            errors[tally.shadow] += tally.count if name in FAULTS else 0
            codes[name] = codes.get(name, 0) + tally.count
        elif tally.kind == Kind.LATENCY:
            index = int(tally.name)
            bins[tally.shadow][index] = bins[tally.shadow].get(index, 0) + tally.count
        elif tally.kind == Kind.SIGNAL:
            amount = signals.setdefault(tally.name, Amount())
            amount.count, amount.total = amount.count + tally.count, amount.total + tally.total
        elif tally.kind == Kind.AGREEMENT:
            agreement.count, agreement.total = agreement.count + tally.count, agreement.total + tally.total
    return VersionFigures(
        version,
        requests=requests[False],
        errors=errors[False],
        shadow_requests=requests[True],
        shadow_errors=errors[True],
        latency=_quantiles(bins[False]),
        shadow_latency=_quantiles(bins[True]),
        agreement=agreement.total / agreement.count if agreement.count else None,
        signals={name: amount.total / amount.count for name, amount in sorted(signals.items())},
        corrected=corrected,
        codes=codes,
    )


def _quantiles(bins: Mapping[int, int]) -> Quantiles | None:
    p50, p90, p99 = (quantile(bins, share) for share in (0.5, 0.9, 0.99))
    return Quantiles(p50, p90, p99) if p50 is not None and p90 is not None and p99 is not None else None


def _floor(at: datetime, unit: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // unit * unit, UTC)


def _ceil(at: datetime, unit: int) -> datetime:
    floor = _floor(at, unit)
    return floor if floor == at else floor + timedelta(seconds=unit)
