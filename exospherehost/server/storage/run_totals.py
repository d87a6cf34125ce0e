"""Checks and corrects the kept number of runs of each namespace.

A server of a version before schema 0006 stores runs and does not count them. While such servers work beside newer ones,
as during a rolling upgrade, the totals fall behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

# One statement, so that both numbers are of one moment. A deleted run that is not removed yet has no namespace.
_WRONG = text(
    "SELECT namespace, sum(stored), sum(kept) FROM ("
    "SELECT namespace, count(*) AS stored, 0 AS kept FROM runs WHERE namespace <> '' GROUP BY namespace "
    "UNION ALL SELECT namespace, 0, total FROM run_totals) AS numbers "
    "GROUP BY namespace HAVING sum(stored) <> sum(kept) ORDER BY namespace"
)
_COUNT = text(
    "INSERT INTO run_totals (namespace, slot, total) "
    "SELECT namespace, 0, count(*) FROM runs WHERE namespace <> '' GROUP BY namespace"
)


@dataclass(frozen=True, slots=True)
class WrongTotal:
    """A namespace whose total is not its number of runs."""

    namespace: str
    stored: int
    total: int


def find_wrong_totals(engine: Engine) -> list[WrongTotal]:
    """Return the namespaces whose total is wrong, by name; change nothing."""
    with engine.connect() as connection, connection.begin():
        return _find(connection)


def correct_totals(engine: Engine) -> list[WrongTotal]:
    """Count the runs anew if a total is wrong.

    Servers may be at work: on PostgreSQL their writes of runs wait meanwhile. Correct totals take no lock.

    Args:
        engine: The database, with the current schema.

    Returns:
        What was wrong.
    """
    if not find_wrong_totals(engine):
        return []
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE runs, run_totals IN SHARE ROW EXCLUSIVE MODE")
        wrong = _find(connection)
        connection.execute(text("DELETE FROM run_totals"))
        connection.execute(_COUNT)
    return wrong


def _find(connection: Connection) -> list[WrongTotal]:
    return [WrongTotal(namespace, int(stored), int(total)) for namespace, stored, total in connection.execute(_WRONG)]
