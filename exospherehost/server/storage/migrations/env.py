"""What Alembic runs: the migrations, on the connection that the opener of the database handed in."""

from __future__ import annotations

from alembic import context

from exospherehost.server.storage.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll DDL back. Alembic does not count on it because of habits of the driver that sqlite.py turns off.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
