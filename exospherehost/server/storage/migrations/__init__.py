"""The schema's history: brought up to date when a database is opened, or on command.

Processes that start together on one PostgreSQL database do so one after the other, under a lock; SQLite has one
writer at a time anyway.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect

from exospherehost.server.domain.errors import StoreError

_log = logging.getLogger(__name__)

# Any number will do that nothing else in the database uses.
_LOCK = 0x65786F_6D696772
UPGRADE_COMMAND = "exospherehost db upgrade"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """Where a database stands.

    Attributes:
        revision: The revision of its schema; None where it has none yet.
        wanted: The one that this version of the package works with.
        is_known: Whether this version of the package knows it.
    """

    revision: str | None
    wanted: str
    is_known: bool

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to upgrade."""
        return self.revision == self.wanted


def prepare(engine: Engine, name: str, *, migrate: bool) -> None:
    """See to it that a database's schema is the one that this version of the package works with.

    Args:
        engine: The database.
        name: What errors call it.
        migrate: Whether to bring an older schema up to date, or make a missing one.

    Raises:
        StoreError: It is of a newer version, or older and not to be brought up to date.
    """
    stands = schema_version(engine)
    if stands.is_current:
        return
    if stands.is_known and not migrate:
        state = "has no schema yet" if stands.revision is None else f"has the schema {stands.revision}"
        raise StoreError(
            f"the database {name} {state}, and this version of exospherehost works with {stands.wanted}: "
            f"run `{UPGRADE_COMMAND} --database URL`, or start once with --migrate"
        )
    upgrade(engine)


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database's schema up to date, or to an earlier revision, in one transaction.

    Raises:
        StoreError: The database was written by a newer version of this package.
    """
    config = _config()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = _revision(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise StoreError(
                f"the database's schema is not known to this version of exospherehost; use a newer one ({error})"
            ) from error
        after = _revision(connection)
    if before is not None and before != after:
        _log.info("event=schema_upgraded before=%s after=%s", before, after)


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database's schema back to an earlier revision, in one transaction."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this version knows, the current one first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def schema_version(engine: Engine) -> SchemaVersion:
    """Return where a database stands; nothing is changed."""
    wanted, *older = revisions()
    with engine.connect() as connection:
        revision = _revision(connection)
    return SchemaVersion(revision, wanted, revision is None or revision == wanted or revision in older)


def differences(engine: Engine) -> list[str]:
    """Return in what a database's schema differs from the one that this version of the package would make."""
    # Only here: nothing else needs it, and it takes its time to load.
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415

    from exospherehost.server.storage.sql.tables import metadata  # noqa: PLC0415

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [repr(difference) for difference in compare_metadata(context, metadata)]


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
