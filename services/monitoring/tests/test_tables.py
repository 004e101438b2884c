"""Migrations end where the tables are, from nothing and again."""

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from packline_monitoring.tables import metadata, open_database

from services.monitoring.tests.harness import database_url


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    for _ in range(2):
        engine = open_database(database_url(tmp_path))
        with engine.connect() as connection:
            names = [name for name in sa.inspect(connection).get_table_names() if name in metadata.tables]
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
        engine.dispose()
        assert sorted(names) == sorted(metadata.tables)
        own = [d for d in differences if not (d[0] == "remove_table" and d[1].name == "packline_monitoring_revision")]
        assert own == []
