"""Which payloads some row still names; the others are removed."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from packline_monitoring.payloads import Payloads
from packline_monitoring.tables import corrections, predictions


def is_named(connection: Connection, pack: str, digest: str) -> bool:
    """Whether a prediction or a correction of the Pack has this payload."""
    return any(
        connection.scalar(
            sa.select(sa.literal(1)).where(table.c.pack == pack, table.c.payload_digest == digest).limit(1)
        )
        for table in (predictions, corrections)
    )


def remove_unnamed(connection: Connection, payloads: Payloads, keys: Iterable[tuple[str, str]]) -> int:
    """Removes those of the payloads, each (pack, digest), that no row names, and returns how many.

    Called by the writer, within the transaction that removes the rows: it fails as a whole rather than leave an object
    that nothing would ever remove, and a row whose object is gone already answers as one without a payload.
    """
    return sum(payloads.remove(*key) for key in sorted(keys) if not is_named(connection, *key))
