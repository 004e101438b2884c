"""Figures as people say them."""

from __future__ import annotations


def percent(share: float) -> str:
    """0.0412 -> 4.1 %; small shares keep two significant digits."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 or value == 0 else f"{value:.2f} %"


def duration(seconds: float) -> str:
    """185.2 -> 3 min 5 s; under ten seconds with one digit behind the point."""
    if 0 < seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(number: int, word: str) -> str:
    """3, 'page' -> 3 pages."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
