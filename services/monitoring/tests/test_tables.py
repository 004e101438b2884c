"""Migrations end where the tables are, from nothing and again."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from packline_monitoring.tables import metadata, open_database

from tests.backends.fixtures import Backend

pytestmark = pytest.mark.backends


def test_migrations_make_the_tables(backend: Backend) -> None:
    for _ in range(2):
        engine = open_database(backend.database)
        with engine.connect() as connection:
            names = [name for name in sa.inspect(connection).get_table_names() if name in metadata.tables]
            # Another service may share the database.
            ours = {"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
            differences = compare_metadata(MigrationContext.configure(connection, opts=ours), metadata)
        engine.dispose()
        assert sorted(names) == sorted(metadata.tables)
        assert differences == []
