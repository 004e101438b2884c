"""Events that Packs were told of, and items of their lists."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "recommendation_events",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("pack", sa.String(63), nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("event", sa.String(63), nullable=False),
        sa.Column("weight", sa.Double),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("context", sa.JSON, nullable=False),
        sa.UniqueConstraint("pack", "event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("recommendation_events_of_user", "recommendation_events", ["pack", "user", "at"])
    op.create_table(
        "recommendation_items",
        sa.Column("pack", sa.String(63), primary_key=True),
        sa.Column("item", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_index("recommendation_items_by_change", "recommendation_items", ["pack", "change"])


def downgrade() -> None:
    op.drop_table("recommendation_items")
    op.drop_table("recommendation_events")
