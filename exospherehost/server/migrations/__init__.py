"""The schema's history, applied when a database is opened."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

from exospherehost.server.store import StoreError


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database's schema up to date, or to an earlier revision, in one transaction.

    Raises:
        StoreError: The database was written by a newer version of this package.
    """
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise StoreError(
                f"the database's schema is not known to this version of exospherehost; use a newer one ({error})"
            ) from error


def revisions() -> tuple[str, ...]:
    """Return the revisions that this version knows, the current one first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
