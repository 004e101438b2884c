"""The tables of what recommendation Packs are told while they serve."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite counts up by itself only what it calls INTEGER.
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")

events = sa.Table(
    "recommendation_events",
    metadata,
    # In the order of commits within a Pack, since its writers take turns.
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("pack", sa.String(63), nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("event", sa.String(63), nullable=False),
    sa.Column("weight", sa.Double),
    # Seconds since 1970.
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("context", sa.JSON, nullable=False),
    sa.UniqueConstraint("pack", "event_id"),
    sa.Index("recommendation_events_of_user", "pack", "user", "at"),
    sqlite_autoincrement=True,
)

items = sa.Table(
    "recommendation_items",
    metadata,
    sa.Column("pack", sa.String(63), primary_key=True),
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
    # Counts the Pack's changes of items.
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Index("recommendation_items_by_change", "pack", "change"),
)
