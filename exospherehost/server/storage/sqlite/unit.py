"""A unit of work on SQLite, where nobody else writes while its transaction is open."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select, text

from exospherehost.server.domain.records import GraphRecord
from exospherehost.server.storage.sql.batch_unit import BatchUnit
from exospherehost.server.storage.sql.runs import STATE_FIELDS
from exospherehost.server.storage.sql.tables import runs
from exospherehost.server.storage.sqlite.engine import is_in_transaction

_HOLD = text(
    f"SELECT {', '.join(f'states.{name}' for name in STATE_FIELDS)}, "  # noqa: S608 (names of ours)
    "runs.key, runs.id, runs.namespace, runs.graph_name, runs.version_id, runs.store, runs.cancelled_at "
    "FROM json_each(:ids) AS wanted CROSS JOIN states ON states.id = wanted.value "
    "CROSS JOIN runs ON runs.key = states.run_key"
)
_OUTPUTS = text(
    "SELECT states.id, states.outputs FROM json_each(:ids) AS wanted CROSS JOIN states ON states.id = wanted.value"
)
_LAST_RUN = select(func.max(runs.c.key))


class SqliteUnit(BatchUnit):
    """All that a unit of work asks for; what it has read stays so, but for what it changes itself."""

    hold_statement = _HOLD
    outputs_statement = _OUTPUTS

    @property
    def is_open(self) -> bool:
        """Whether the transaction has not been ended by SQLite."""
        return is_in_transaction(self._connection)

    def touch(self) -> None:
        """Write what changes nothing, to learn whether anything can be written."""
        # Nobody uses this number of the file's header; setting it writes its page, the same value too.
        self._connection.exec_driver_sql("PRAGMA user_version = 0")
        super().touch()

    def _new_run_keys(self, number: int) -> Collection[int]:
        last: int = self._scalar(_LAST_RUN) or 0
        return range(last + 1, last + 1 + number)

    def find_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph with its latest version."""
        known = self._known.graphs.get((namespace, name))
        if known is None:
            known = super().find_graph(namespace, name)
            if known is not None:
                self._known.graphs[namespace, name] = known
        return known

    def hold_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph as :meth:`find_graph` does, which nobody can delete meanwhile."""
        return self.find_graph(namespace, name)
