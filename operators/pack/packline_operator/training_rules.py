"""When a Pack trains: by schedule, by count of corrections, by drift, by a newer base; never twice at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cronsim import CronSim
from packline_core.manifest import Pack
from packline_core.units import parse_duration

from packline_operator.domain import Observed, StartRun
from packline_operator.facts import Registry, Run, RunKind
from packline_operator.words import moment


def training_to_start(observed: Observed, now: datetime) -> StartRun | None:
    """The run that is due now, if one is; its id is the same until that run has ended."""
    pack, registry = observed.manifest, observed.registry
    if pack is None or registry is None or pack.spec.paused or pack.spec.model.pin:
        return None
    if any(run.in_progress for run in registry.runs) or cooldown_left(pack, registry, now) > timedelta(0):
        return None
    triggers, last = pack.spec.training.triggers, last_training(registry)
    # A run that failed must not be named again: the end of the last one makes the next one's id.
    suffix = f"-{int(last.timestamp())}" if last else ""
    fresh = fresh_corrections(observed)
    if triggers.corrections and observed.monitored is not None and fresh >= triggers.corrections:
        reason = f"{fresh} new corrections"
        return StartRun(f"{observed.name}-c{observed.monitored.corrections}{suffix}", RunKind.TRAIN, reason)
    due = schedule_due(observed, now)
    if due is not None:
        return StartRun(f"{observed.name}-s{due:%Y%m%dT%H%M}", RunKind.TRAIN, f"schedule {triggers.schedule}")
    if triggers.drift and observed.monitored is not None and observed.monitored.drift:
        return StartRun(f"{observed.name}-drift{suffix}", RunKind.TRAIN, observed.monitored.drift)
    if triggers.new_base and observed.new_base:
        return StartRun(f"{observed.name}-base-{observed.new_base}{suffix}", RunKind.TRAIN, f"base {observed.new_base}")
    return None


def fresh_corrections(observed: Observed) -> int:
    """Corrections that no training run has taken in yet."""
    if observed.monitored is None or observed.registry is None:
        return 0
    return max(0, observed.monitored.corrections - observed.registry.trained_corrections)


def last_training(registry: Registry) -> datetime | None:
    """When a training run last ended, whatever became of it."""
    ends = [run.ended_at for run in registry.runs if run.kind is RunKind.TRAIN and run.ended_at]
    return max([*ends, *([registry.last_training_at] if registry.last_training_at else [])], default=None)


def newest_training(registry: Registry) -> Run | None:
    """The newest training run, ended or not."""
    return next((run for run in registry.runs if run.kind is RunKind.TRAIN), None)


def cooldown_left(pack: Pack, registry: Registry, now: datetime) -> timedelta:
    """How long until the next automatic run may start."""
    last = last_training(registry)
    if last is None:
        return timedelta(0)
    return max(timedelta(0), parse_duration(pack.spec.training.cooldown) - (now - last))


def schedule_anchor(observed: Observed) -> datetime | None:
    """From when on times of the schedule count: it was set, or the last training ended, whichever is later."""
    status, registry = observed.status, observed.registry
    schedule = observed.manifest.spec.training.triggers.schedule if observed.manifest else None
    if schedule is None or registry is None or status is None or status.schedule != schedule:
        return None
    times = [time for time in (status.schedule_since, last_training(registry)) if time is not None]
    return max(times, default=None)


def schedule_due(observed: Observed, now: datetime) -> datetime | None:
    """The first time of the schedule that has passed untrained. Times that a sleeping machine missed count once."""
    first = schedule_next(observed)
    return first if first is not None and first <= now else None


def schedule_next(observed: Observed) -> datetime | None:
    """The next time of the schedule, which may have passed; None where no schedule is in force, or none ever comes."""
    anchor = schedule_anchor(observed)
    schedule = observed.manifest.spec.training.triggers.schedule if observed.manifest else None
    if anchor is None or schedule is None:
        return None
    return next(CronSim(schedule, anchor.astimezone(UTC)), None)


def training_outlook(observed: Observed, now: datetime) -> str:
    """What would start the next training, in a sentence."""
    pack, registry = observed.manifest, observed.registry
    if pack is None or registry is None:
        return ""
    if pack.spec.model.pin:
        return f"{pack.spec.model.pin} is pinned: no training."
    if pack.spec.paused:
        return "Paused: no training."
    triggers, parts = pack.spec.training.triggers, []
    if triggers.corrections and observed.monitored is not None:
        missing = triggers.corrections - fresh_corrections(observed)
        parts.append(f"after {missing} more corrections" if missing > 0 else "for the corrections that came in")
    upcoming = schedule_next(observed)
    if upcoming is not None:
        parts.append(f"at {moment(upcoming)}")
    if not parts:
        return "Trains when asked to."
    last, wait = last_training(registry), ""
    if last is not None and cooldown_left(pack, registry, now) > timedelta(0):
        wait = f", not before {moment(last, parse_duration(pack.spec.training.cooldown))}"
    return f"Trains {' or '.join(parts)}{wait}."
