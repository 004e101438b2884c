"""The tables of the training service."""

from __future__ import annotations

import sqlalchemy as sa
from packline_core.db import UtcDateTime

metadata = sa.MetaData()

packs = sa.Table(
    "packs",
    metadata,
    sa.Column("pack", sa.String(63), primary_key=True),
    sa.Column("task", sa.String(63), nullable=False),
    sa.Column("dataset", sa.String(63), nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("active", sa.String(16), nullable=False),
    sa.Column("previous", sa.String(16), nullable=False),
    sa.Column("candidate", sa.String(16), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("approved", sa.String(16), nullable=False),
    sa.Column("rollback_to", sa.String(16), nullable=False),
    sa.Column("last_training_at", UtcDateTime),
    sa.Column("trained_corrections", sa.BigInteger, nullable=False),
    # Monitoring's sequence number of the newest correction taken in.
    sa.Column("cursor", sa.BigInteger, nullable=False),
)


def _pack_key() -> sa.Column[str]:
    return sa.Column("pack", sa.ForeignKey("packs.pack", ondelete="CASCADE"), primary_key=True)


versions = sa.Table(
    "versions",
    metadata,
    _pack_key(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("base", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("object_name", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("dataset_digest", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("gate", sa.JSON),
    sa.Column("gate_dataset", sa.Integer, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.UniqueConstraint("pack", "digest"),
)

rejected = sa.Table(
    "rejected",
    metadata,
    _pack_key(),
    sa.Column("digest", sa.String(80), primary_key=True),
)

decisions = sa.Table(
    "decisions",
    metadata,
    _pack_key(),
    sa.Column("decision_id", sa.String(255), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("version", sa.String(16), nullable=False),
    sa.Column("expected_revision", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("reject_active", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    # Two decisions can never have led to one revision, whatever the code does.
    sa.UniqueConstraint("pack", "revision"),
)

dataset_versions = sa.Table(
    "dataset_versions",
    metadata,
    sa.Column("dataset", sa.String(63), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("training_examples", sa.BigInteger, nullable=False),
    sa.Column("golden_examples", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("corrections", sa.BigInteger, nullable=False),
)

# An example belongs to the dataset versions from `since` on and before `until`, which a key's newest label lacks.
examples = sa.Table(
    "examples",
    metadata,
    sa.Column("dataset", sa.String(63), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("since", sa.Integer, primary_key=True),
    sa.Column("until", sa.Integer),
    sa.Column("truth", sa.String(64), nullable=False),
    sa.Column("golden", sa.Boolean, nullable=False),
    sa.Column("shard", sa.Text, nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Index("examples_by_shard", "shard"),
)

runs = sa.Table(
    "runs",
    metadata,
    _pack_key(),
    sa.Column("run_id", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("percent", sa.Float, nullable=False),
    sa.Column("eta", sa.Float),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("trials", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("dataset_digest", sa.String(80), nullable=False),
    sa.Column("version", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("owner", sa.String(40), nullable=False),
    sa.Column("lease_until", UtcDateTime),
)

# Objects that no row needs any more, until they are deleted.
garbage = sa.Table("garbage", metadata, sa.Column("object_name", sa.Text, primary_key=True))
