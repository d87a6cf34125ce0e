"""A database's schema, for those who look after it: which one it is, whether it is whole, bringing it up to date."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage import migrations, run_totals
from exospherehost.server.storage.opening import load_postgresql
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url
from exospherehost.server.storage.sqlite import engine as sqlite_engine


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of an open database."""

    engine: Engine

    def version(self) -> migrations.SchemaVersion:
        """Return where it stands."""
        return migrations.schema_version(self.engine)

    def upgrade(self) -> None:
        """Bring it up to date.

        Raises:
            StoreError: It is of a newer version.
        """
        migrations.upgrade(self.engine)

    def differences(self) -> list[str]:
        """Return in what it differs from the one that this version of the package would make."""
        return migrations.differences(self.engine)

    def wrong_totals(self) -> list[run_totals.WrongTotal]:
        """Return the namespaces whose kept number of runs is wrong; the schema must be current."""
        return run_totals.find_wrong_totals(self.engine)

    def correct_totals(self) -> list[run_totals.WrongTotal]:
        """Count the runs of all namespaces anew if a total is wrong, and return what was wrong."""
        return run_totals.correct_totals(self.engine)


@contextmanager
def open_schema(database: str | Path, *, must_exist: bool = False) -> Generator[Schema, None, None]:
    """Open a database to look after its schema.

    Args:
        database: A file's path, or a URL.
        must_exist: Whether a file that is not there is an error, rather than made.

    Raises:
        StoreError: It cannot be opened or is not supported.
    """
    with ExitStack() as stack:
        url = postgresql_url(database)
        if url is None:
            path = database_path(database)
            if must_exist and not path.exists():
                raise StoreError(f"there is no database {path}")
            engine, reader = sqlite_engine.open_engines(path, readers=1)
            stack.callback(reader.dispose)
        else:
            postgresql = load_postgresql()
            stack.enter_context(postgresql.told_plainly(url))
            engine = postgresql.open_engine(url)
            postgresql.check_server(engine)
        stack.callback(engine.dispose)
        yield Schema(engine)
