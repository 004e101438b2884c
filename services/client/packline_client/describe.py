"""A Pack in sentences: what answers, what is in rollout, why, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from packline_client.monitoring import VersionFigures
from packline_client.packview import PackView
from packline_client.training_types import Decision, GateSlice, PackState, Run, Version


@dataclass(frozen=True, slots=True)
class Registry:
    """What training knows of a Pack, the newest of each first, and each version's figures in all time."""

    state: PackState | None
    versions: Sequence[Version]
    runs: Sequence[Run]
    decisions: Sequence[Decision]
    figures: Sequence[VersionFigures] = ()


def sentences(
    view: PackView, registry: Registry | None, events: Sequence[Mapping[str, Any]], now: datetime
) -> Iterator[str]:
    """The whole description, line by line."""
    yield f"{view.name} is a Pack of task {view.task}."
    yield _answering(view)
    if view.observed_generation < view.generation:
        yield "Its newest manifest has not been taken in yet."
    if view.candidate:
        yield f"{view.candidate} is in rollout ({view.phase.lower()})."
    if view.ready != "True" and view.message:
        yield f"It is not ready: {view.message}"
    if view.why:
        yield f"Why: {view.why}"
    if view.next:
        yield f"Next: {view.next}"
    if registry:
        yield from _learned(registry, now)
    if events:
        yield ""
        yield "Last events:"
        once = list({event.get("key", index): event for index, event in enumerate(events)}.values())
        for event in once[-5:]:
            yield f"  {event.get('at', '')}  {event.get('reason', '')}: {event.get('message', '')}"


def _answering(view: PackView) -> str:
    if not view.active:
        return "No version answers yet."
    if len([share for share in view.traffic.values() if share]) > 1:
        return f"{view.active} is active; calls are shared: {view.shares}."
    return f"{view.active} is active and answers every call."


def _learned(registry: Registry, now: datetime) -> Iterator[str]:
    judged = next((version for version in registry.versions if version.gate), None)
    if judged and judged.gate:
        gate = judged.gate
        yield ""
        yield f"The gate on {judged.version}: {gate.outcome.replace('_', ' ')}. {gate.reason}"
        for title, part in (("golden examples known before", gate.old), ("new golden examples", gate.new)):
            if part and part.examples:
                yield f"  {gate.metric} on {part.examples} {title}: {_figures(part)}"
    if registry.runs:
        run = registry.runs[0]
        yield ""
        progress = "" if run.state.ended else f", {run.percent:.0f}% ({run.stage})"
        when = run.ended_at or run.started_at or run.created_at
        yield f"Last run {run.run_id} ({run.kind}, {_ago(when, now)}): {run.state}{progress}. {run.message}".rstrip()
    if told := [line for figures in registry.figures for line in _taken(figures)]:
        yield ""
        yield "What users did with its answers:"
        yield from told
    if registry.decisions:
        yield ""
        yield "Last decisions:"
        for decision in registry.decisions:
            what = decision.kind.replace("_", " ")
            weight = f" to {decision.weight}%" if decision.weight else ""
            words = decision.message or decision.reason
            yield f"  {_ago(decision.at, now)}: {what} {decision.version}{weight}. {words}"


def _taken(figures: VersionFigures) -> Iterator[str]:
    hits, off = figures.hits, figures.off_policy
    if hits and hits.rate:
        rate = hits.rate
        yield (
            f"  {figures.model_version}: they took something of {hits.hits} of {hits.answers}, {rate.value:.1%} "
            f"(90% interval {rate.low:.1%} to {rate.high:.1%})"
        )
    if off and off.difference and off.shown:
        gain = off.difference
        value, low, high = (part / off.shown for part in (gain.value, gain.low, gain.high))
        yield (
            f"  {figures.model_version} in shadow, which nobody saw: worth {value:+.0%} against what was shown, "
            f"estimated from {off.calls} calls (90% interval {low:+.0%} to {high:+.0%})"
        )


def _figures(part: GateSlice) -> str:
    return (
        f"active {part.active:.4f}, candidate {part.candidate:.4f}, difference {part.difference:+.4f} "
        f"(90% interval {part.low:+.4f} to {part.high:+.4f})"
    )


def _ago(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "not started"
    seconds = max(int((now - when).total_seconds()), 0)
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
