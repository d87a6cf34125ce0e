"""What the parts of the SQL unit of work share."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, bindparam
from sqlalchemy.sql.base import Executable

from exospherehost.server.storage.sql.statements import Statements


class SqlPart:
    """Runs statements on a connection whose transaction somebody else began and will end.

    Args:
        connection: The connection.
        statements: The compiled statements of its dialect.
    """

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        # Whether anything has been written that a rollback would undo.
        self._has_written = False

    def _run(self, statement: Executable, **values: Any) -> int:
        """Execute a change and return how many rows it concerned."""
        changed = self._statements.change(self._connection, statement, values)
        self._has_written |= changed != 0
        return changed

    def _run_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute a change once for each of the rows, and return how many it concerned in all."""
        self._has_written = True
        changed: int = self._statements.change_many(self._connection, statement, rows).rowcount
        return changed

    def _rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        rows = self._statements.rows(self._connection, statement, values)
        self._has_written |= statement.is_dml and bool(rows)
        return rows

    def _row(self, statement: Executable, **values: Any) -> Any:
        """Return the first row, or None."""
        # All are fetched: a statement that changes and returns is only done with its last row.
        rows = self._rows(statement, **values)
        return rows[0] if rows else None

    def _scalar(self, statement: Executable, **values: Any) -> Any:
        row = self._row(statement, **values)
        return None if row is None else row[0]


class Spoilt(Exception):
    """A transaction holds what should not last, and can only be rolled back."""


class TransactionLost(Exception):
    """The database ended a transaction on its own, and with it all units in it."""


@contextmanager
def savepoint(connection: Connection, name: str) -> Generator[None, None, None]:
    """Run a block of which nothing remains in the transaction if it raises.

    Raises:
        TransactionLost: The whole transaction is gone.
    """
    cursor = connection.connection.cursor()
    cursor.execute(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException as error:
        try:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {name}")
        except Exception as lost:
            # A full disk, for one, makes SQLite roll back all of it.
            raise TransactionLost(repr(error)) from lost
        cursor.execute(f"RELEASE SAVEPOINT {name}")
        raise
    cursor.execute(f"RELEASE SAVEPOINT {name}")


def dump(value: Any) -> str:
    """Return a value as compact JSON text, in ASCII so that any database can hold it."""
    # Most new states' outputs, most first states' parents and most runs' stores.
    return "{}" if value == {} else to_json(value, ensure_ascii=True).decode("ascii")


def load(text: str) -> Any:
    """Return the value of a text that :func:`dump` made."""
    # Most states' outputs and most runs' stores.
    return {} if text == "{}" else from_json(text, cache_strings="keys")


def binds(*names: str) -> dict[str, Any]:
    """Return the values of an insert or update that takes a parameter for each of these columns."""
    return {name: bindparam(name) for name in names}
