"""Statements compiled once for a dialect, because they run thousands of times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler


class _Compiled:
    """A statement's text and the order of its parameters."""

    __slots__ = ("_defaults", "_names", "text")

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"not a statement: {statement!r}")
        self.text = str(compiled)
        self._names = compiled.positiontup
        self._defaults = compiled.params

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver wants them."""
        if self._names is None:
            return {**self._defaults, **values}
        defaults = self._defaults
        return [values[name] if name in values else defaults[name] for name in self._names]


class Statements:
    """Runs module-level SQLAlchemy statements through the driver's own cursor.

    SQLAlchemy writes the SQL, once for each statement; what it would do at every execution beyond that (look up the
    compiled form, describe the result's columns) took longer than the database does.

    A statement must hold no parameter that expands (``in_``), nor types that the driver does not know itself, and is
    kept for good: pass none made on the fly.

    Args:
        dialect: The database's dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: dict[Executable, _Compiled] = {}

    def change(self, connection: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
        """Execute a statement with these parameters and return how many rows it concerned."""
        compiled = self._get(statement)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.parameters(values))
        return cursor.rowcount

    def rows(self, connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute a statement with these parameters and return its rows."""
        compiled = self._get(statement)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.parameters(values))
        return cursor.fetchall()

    def change_many(self, connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Execute a statement once for each of the rows, and return the cursor, whose row count is of all."""
        compiled = self._get(statement)
        cursor = connection.connection.cursor()
        if len(rows) == 1:
            # A driver may go to some length for many.
            cursor.execute(compiled.text, compiled.parameters(rows[0]))
        else:
            cursor.executemany(compiled.text, [compiled.parameters(row) for row in rows])
        return cursor

    def _get(self, statement: Executable) -> _Compiled:
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = _Compiled(statement, self._dialect)
        return compiled
