"""Alembic's entry: `packline_core.db.migrate` gives the connection."""

from packline_core.db import run_migrations
from packline_training.tables import metadata

run_migrations(metadata)
