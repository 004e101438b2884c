"""Drawings of figures, as SVG: bars with their intervals, and the timeline of a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape

from examples.ocr.report.facts import ModelScore, Timeline
from examples.ocr.report.words import duration, percent

_LANE = 22
_LEFT, _WIDTH, _DEPTH = 44, 930, 96
_VERSION_STYLES = ("share-a", "share-b", "share-c", "share-d")


def bars(scores: Sequence[ModelScore], marked: ModelScore | None) -> str:
    """Horizontal bars of the share of wrong characters, with whiskers for the 90 % interval; one stands out."""
    top = max((score.cer.high for score in scores), default=0) or 1
    left, width, row = 190, 420, 46
    parts = []
    for index, score in enumerate(scores):
        y = 8 + index * row
        x0, x1 = (left + width * v / top for v in (score.cer.low, score.cer.high))
        bar = width * score.cer.value / top
        style = "bar now" if score is marked else "bar"
        parts.append(
            f'<text class="bar-name" x="{left - 14}" y="{y + 21}">{escape(score.label)}</text>'
            f'<rect class="{style}" x="{left}" y="{y + 3}" width="{bar:.1f}" height="26" rx="3"/>'
            f'<path class="whisker" d="M{x0:.1f} {y + 16}H{x1:.1f}M{x0:.1f} {y + 10}v12M{x1:.1f} {y + 10}v12"/>'
            f'<text class="bar-value" x="{max(x1, left + bar) + 12:.1f}" y="{y + 22}">{percent(score.cer.value)}</text>'
        )
    height = 12 + row * len(scores)
    return (
        f'<svg class="bars" viewBox="0 0 720 {height}" role="img" aria-label="wrong characters">{"".join(parts)}</svg>'
    )


def _lanes(xs: Sequence[float], least: float) -> list[int]:
    """For markers from left to right, the lowest lane where none stands nearer than `least`."""
    ends: list[float] = []
    lanes = []
    for x in xs:
        lane = next((i for i, end in enumerate(ends) if x - end >= least), len(ends))
        ends[lane : lane + 1] = [x]
        lanes.append(lane)
    return lanes


def timeline(line: Timeline) -> str:
    """Who answered when, as areas over time, with a numbered marker for every moment."""
    span = max((line.ended_at - line.started_at).total_seconds(), 1.0)

    def across(at: datetime) -> float:
        return _LEFT + _WIDTH * min(max((at - line.started_at).total_seconds() / span, 0), 1)

    xs = [across(moment.at) for moment in line.moments]
    lanes = _lanes(xs, 26)
    top = 16 + _LANE * (max(lanes, default=0) + 1)
    bottom = top + _DEPTH
    parts = [f'<rect class="share-none" x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_DEPTH}"/>']
    parts += _areas(line, top, across)
    for number, (moment, x, lane) in enumerate(zip(line.moments, xs, lanes, strict=True), start=1):
        y = top - 14 - lane * _LANE
        parts.append(
            f'<path class="pin" d="M{x:.1f} {y}V{bottom}"/>'
            f'<circle class="dot {moment.kind}" cx="{x:.1f}" cy="{y}" r="10"/>'
            f'<text class="dot-number" x="{x:.1f}" y="{y + 4}">{number}</text>'
        )
    for tick in range(5):
        x = _LEFT + _WIDTH * tick / 4
        parts.append(f'<text class="tick" x="{x:.0f}" y="{bottom + 20}">{duration(span * tick / 4)}</text>')
    parts += [
        f'<text class="axis" x="{_LEFT - 6}" y="{top + 10}">100 %</text>',
        f'<text class="axis" x="{_LEFT - 6}" y="{bottom}">0</text>',
    ]
    return f'<svg class="timeline" viewBox="0 0 1010 {bottom + 28}" role="img">{"".join(parts)}</svg>'


def _areas(line: Timeline, top: int, across: Callable[[datetime], float]) -> list[str]:
    """A rectangle for each version and each stretch of time in which it answered calls, one on the other."""
    versions = sorted({v for share in line.shares for v in share.percent}, key=lambda v: (len(v), v))
    styles = {version: _VERSION_STYLES[i % len(_VERSION_STYLES)] for i, version in enumerate(versions)}
    starts = [across(share.at) for share in line.shares]
    parts = []
    for share, start, end in zip(line.shares, starts, [*starts[1:], across(line.ended_at)], strict=False):
        y = float(top)
        for version in versions:
            weight = share.percent.get(version, 0)
            height = _DEPTH * weight / 100
            if height:
                parts.append(
                    f'<rect class="{styles[version]}" x="{start:.1f}" y="{y:.1f}" width="{max(end - start, 0):.1f}" '
                    f'height="{height:.1f}"><title>{escape(version)}: {weight} %</title></rect>'
                )
            if end - start > 46 and height > 18:
                name = f'<text class="share-name" x="{(start + end) / 2:.0f}" y="{y + height / 2 + 5:.0f}">'
                parts.append(f"{name}{escape(version)}</text>")
            y += height
    return parts
