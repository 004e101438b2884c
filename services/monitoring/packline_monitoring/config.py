"""Bounds of the monitoring service: how long it keeps what, and how much it takes on at once."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how much.

    Attributes:
        rows: How long predictions without a correction are kept, figures only (payloads go by the Pack's own
            `recording.retention`). Older ones that arrive late are not taken in, since whether they were counted
            already is no longer known.
        minutes: How long sums per minute are kept; a comparison that starts later is exact to the microsecond.
        hours: How long sums per hour are kept.
        waiting_bytes: Payloads held in memory at once; more is refused as overload.
        waiting_writes: Writes that wait for the database at once; more is refused as overload.
        waiting_reads: Reads that wait for a thread at once; more is refused as overload.
        threads: For reads, and for payloads on their way to the store.
        arrival: Seconds that a correction waits for its prediction's record, which a replica may still hold.
        pause: Seconds between two rounds of housekeeping.
        sweep: How often payloads that no row names (left by a killed process) are looked for; also at each start.
    """

    rows: timedelta = timedelta(days=90)
    minutes: timedelta = timedelta(days=7)
    hours: timedelta = timedelta(days=400)
    waiting_bytes: int = 256 << 20
    waiting_writes: int = 512
    waiting_reads: int = 256
    threads: int = 8
    arrival: float = 3.0
    pause: float = 30.0
    sweep: timedelta = timedelta(days=1)
