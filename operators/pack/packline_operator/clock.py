"""The loop's clock: the machine's, or one that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

# For tests alone: names a file that holds seconds to add to the machine's clock, read at each look. It moves the loop's
# time and nobody else's, so holds, cooldowns, schedules and watch windows pass at once.
OFFSET_FILE = "PACKLINE_CLOCK_OFFSET_FILE"


class Clock:
    """Gives the time, UTC.

    Args:
        offset_file: See `OFFSET_FILE`; None for the machine's own time.
    """

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset_file = offset_file

    def __call__(self) -> datetime:
        """The time now."""
        return datetime.now(UTC) + timedelta(seconds=self._offset())

    def _offset(self) -> float:
        try:
            return float(self._offset_file.read_text("ascii")) if self._offset_file else 0.0
        except (OSError, ValueError):
            # Not there yet, or read in the middle of a write.
            return 0.0
