"""The tables: predictions, their sums, corrections, and what is still to be erased. Every row knows its Pack.

Their names begin with `monitoring_`, since another service may share the database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from packline_core import db
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.pool import ConnectionPoolEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Micros(sa.types.TypeDecorator[datetime]):
    """A moment as microseconds since 1970: half the size of a text, exact, and ordered the same on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Microseconds."""
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """UTC."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()

packs = sa.Table(
    "monitoring_packs",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    # What training said last, for when it is away.
    sa.Column("task", sa.Text),
    sa.Column("retention_seconds", sa.BigInteger),
    # The highest sequence that a correction was given.
    sa.Column("sequence", sa.BigInteger, nullable=False, server_default="0"),
    # Predictions up to then are not taken in again.
    sa.Column("forgotten_at", Micros),
)

predictions = sa.Table(
    "monitoring_predictions",
    metadata,
    sa.Column("pack", sa.Text, primary_key=True),
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("at", Micros, nullable=False),
    sa.Column("latency", sa.Double, nullable=False),
    sa.Column("code", sa.SmallInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("signals", sa.JSON, nullable=False),
    sa.Column("shadow_of", sa.Text, nullable=False),
    sa.Column("agreement", sa.Double, nullable=False),
    sa.Column("payload_digest", sa.Text),
    sa.Column("answer_json", sa.Text, nullable=False),
)
sa.Index("monitoring_predictions_at", predictions.c.pack, predictions.c.at)
_kept = predictions.c.payload_digest.is_not(None)
sa.Index(
    "monitoring_predictions_payload",
    predictions.c.pack,
    predictions.c.payload_digest,
    sqlite_where=_kept,
    postgresql_where=_kept,
)
# What retention looks through, without the many that have no payload any more.
sa.Index(
    "monitoring_predictions_kept",
    predictions.c.pack,
    predictions.c.at,
    sqlite_where=_kept,
    postgresql_where=_kept,
)
_shadow = predictions.c.shadow_of != ""
sa.Index(
    "monitoring_predictions_shadow",
    predictions.c.pack,
    predictions.c.shadow_of,
    sqlite_where=_shadow,
    postgresql_where=_shadow,
)

tallies = sa.Table(
    "monitoring_tallies",
    metadata,
    sa.Column("pack", sa.Text, primary_key=True),
    sa.Column("unit", sa.Integer, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("shadow", sa.Boolean, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("total", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

corrections = sa.Table(
    "monitoring_corrections",
    metadata,
    sa.Column("pack", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("correction_id", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("truth_json", sa.Text, nullable=False),
    sa.Column("payload_digest", sa.Text, nullable=False),
    # Under which training keeps the example that it makes of this.
    sa.Column("example_key", sa.Text, nullable=False),
    # Whose it is: what is resampled as a whole for an interval. Null in rows of before.
    sa.Column("example_group", sa.Text),
    sa.Column("corrected_at", Micros, nullable=False),
    sa.UniqueConstraint("pack", "correction_id"),
)
sa.Index("monitoring_corrections_prediction", corrections.c.pack, corrections.c.prediction_id)
sa.Index("monitoring_corrections_payload", corrections.c.pack, corrections.c.payload_digest)
sa.Index("monitoring_corrections_example", corrections.c.pack, corrections.c.example_key)

erased = sa.Table(
    "monitoring_erased",
    metadata,
    sa.Column("pack", sa.Text, primary_key=True),
    # sha256 of the prediction's id: enough to know it again when a spool still sends it, and to tell nothing else.
    sa.Column("prediction_hash", sa.Text, primary_key=True),
    sa.Column("erased_at", Micros, nullable=False),
)

erasures = sa.Table(
    "monitoring_erasures",
    metadata,
    sa.Column("pack", sa.Text, primary_key=True),
    sa.Column("example_key", sa.Text, primary_key=True),
    sa.Column("asked_at", Micros, nullable=False),
)


def open_database(url: str, *, busy_timeout: float = db.BUSY_TIMEOUT) -> Engine:
    """Opens monitoring's database and brings its tables up to date. What SQLite deletes it also overwrites."""
    engine = db.create_engine(url, busy_timeout=busy_timeout)
    if engine.dialect.name == "sqlite":

        def on_connect(connection: Any, record: ConnectionPoolEntry) -> None:
            connection.execute("PRAGMA secure_delete=ON").close()

        sa.event.listen(engine, "connect", on_connect)
    db.migrate(engine, "packline_monitoring")
    return engine
