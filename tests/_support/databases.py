"""The database of a test's server, of the kind that the run asks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine, make_url

from exospherehost.server.storage.migrations import downgrade
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.postgres import SECRETS_KEY

_DRIVER = "postgresql+psycopg"
KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Database:
    """A database that nothing else uses.

    Attributes:
        setting: What a server takes for it.
    """

    setting: str

    @property
    def is_file(self) -> bool:
        return "://" not in self.setting

    @property
    def settings(self) -> dict[str, Any]:
        """The server's settings for it."""
        return {"database": self.setting} if self.is_file else {"database": self.setting, "secrets_key": SECRETS_KEY}

    def open(self) -> SqlStore:
        """Open a store on it; it has one writer on every kind, so that what is written together stays in order."""
        return open_store(self.setting, writers=1)

    def downgrade(self, revision: str) -> None:
        """Take the schema back to an earlier revision."""
        url = f"sqlite:///{self.setting}" if self.is_file else make_url(self.setting).set(drivername=_DRIVER)
        engine = create_engine(url)
        try:
            downgrade(engine, revision)
        finally:
            engine.dispose()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        if self.is_file:
            with closing(sqlite3.connect(self.setting)) as connection, connection:
                return connection.execute(statement).fetchall()
        with psycopg.connect(self.setting) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


NewDatabase = Callable[[Path], Database]
"""Makes a database; where it is a file, in a folder."""
