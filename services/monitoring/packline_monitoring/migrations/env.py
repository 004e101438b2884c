"""Alembic's entry: the tables are those of `packline_monitoring.tables`."""

from packline_core.db import run_migrations
from packline_monitoring.tables import metadata

run_migrations(metadata)
