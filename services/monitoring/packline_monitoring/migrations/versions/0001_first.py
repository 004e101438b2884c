"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "monitoring_corrections",
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("correction_id", sa.Text(), nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("truth_json", sa.Text(), nullable=False),
        sa.Column("payload_digest", sa.Text(), nullable=False),
        sa.Column("example_key", sa.Text(), nullable=False),
        sa.Column("corrected_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pack", "sequence"),
        sa.UniqueConstraint("pack", "correction_id"),
    )
    op.create_index("monitoring_corrections_example", "monitoring_corrections", ["pack", "example_key"], unique=False)
    op.create_index(
        "monitoring_corrections_payload", "monitoring_corrections", ["pack", "payload_digest"], unique=False
    )
    op.create_index(
        "monitoring_corrections_prediction", "monitoring_corrections", ["pack", "prediction_id"], unique=False
    )
    op.create_table(
        "monitoring_erased",
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("prediction_hash", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pack", "prediction_hash"),
    )
    op.create_table(
        "monitoring_erasures",
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("example_key", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pack", "example_key"),
    )
    op.create_table(
        "monitoring_packs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("retention_seconds", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("forgotten_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "monitoring_predictions",
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("latency", sa.Double(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("signals", sa.JSON(), nullable=False),
        sa.Column("shadow_of", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Double(), nullable=False),
        sa.Column("payload_digest", sa.Text(), nullable=True),
        sa.Column("answer_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pack", "prediction_id"),
    )
    op.create_index("monitoring_predictions_at", "monitoring_predictions", ["pack", "at"], unique=False)
    op.create_index(
        "monitoring_predictions_kept",
        "monitoring_predictions",
        ["pack", "at"],
        unique=False,
        sqlite_where=sa.text("payload_digest IS NOT NULL"),
        postgresql_where=sa.text("payload_digest IS NOT NULL"),
    )
    op.create_index(
        "monitoring_predictions_payload",
        "monitoring_predictions",
        ["pack", "payload_digest"],
        unique=False,
        sqlite_where=sa.text("payload_digest IS NOT NULL"),
        postgresql_where=sa.text("payload_digest IS NOT NULL"),
    )
    op.create_index(
        "monitoring_predictions_shadow",
        "monitoring_predictions",
        ["pack", "shadow_of"],
        unique=False,
        sqlite_where=sa.text("shadow_of != ''"),
        postgresql_where=sa.text("shadow_of != ''"),
    )
    op.create_table(
        "monitoring_tallies",
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pack", "unit", "start", "model_version", "shadow", "kind", "name"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("monitoring_tallies")
    op.drop_table("monitoring_predictions")
    op.drop_table("monitoring_packs")
    op.drop_table("monitoring_erasures")
    op.drop_table("monitoring_erased")
    op.drop_table("monitoring_corrections")
