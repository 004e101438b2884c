"""Times in words, for sentences that people read."""

from datetime import UTC, datetime, timedelta


def duration(span: timedelta) -> str:
    """`45 s`, `10 min`, `2 h 5 min`, `3 d 4 h`; a negative span is `0 s`."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if hours == 0:
        return f"{minutes} min"
    if days == 0:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def moment(start: datetime, span: timedelta = timedelta(0)) -> str:
    """`2026-03-01 10:42:07 UTC`: a time rather than a countdown, so that a status changes only when something does."""
    try:
        return f"{(start + span).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return "the end of days"
