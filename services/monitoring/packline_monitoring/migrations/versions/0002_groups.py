"""Whose a correction is, for intervals over users."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("monitoring_corrections", sa.Column("example_group", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("monitoring_corrections", "example_group")
