"""All statements of the server, for tests of how a database would run them."""

from __future__ import annotations

from importlib import import_module

from sqlalchemy.sql.base import Executable

SMALL = frozenset({"nodes", "graphs", "crons", "run_totals", "api_keys", "alembic_version", "wanted", "of_versions"})
"""What grows with what was registered, stored, scheduled or asked for, and not with what has run."""

_MODULES = (
    "sql.graphs",
    "sql.runs",
    "sql.events",
    "sql.trigger_keys",
    "sql.leases",
    "sql.cancellation",
    "sql.backlog",
    "sql.retention",
    "sql.api_keys",
    "sql.batch_unit",
)
# Others are made of them; alone they are not run.
_PARTS = {"sql.runs._LISTINGS", "sql.runs._RUNS", "sql.graphs._DROP_UNUSED"}
_EXCEPTIONS = {
    # Deleting a graph looks at each of its runs and versions. An index of the runs that have not ended would have to be
    # written with every report.
    "sql.cancellation._RUNNING",
    "sql.graphs._DROP_VERSIONS",
    "sql.graphs._DROP_GRAPH",
    # A rotation seals all secrets anew; and which graphs have secrets under a key is asked where that key is missing.
    "sql.api_keys._SEALED",
    "sql.api_keys._SEALED_WITH",
    # Sorts the graphs of a namespace.
    "sql.graphs._LIST_GRAPHS",
}


def statements(of_database: str) -> dict[str, Executable]:
    """Return the statements whose cost must not grow with what has finished.

    Args:
        of_database: The module of those that are one database's own.
    """
    found = {
        f"{module}.{name}": statement
        for module in (*_MODULES, of_database)
        for name, statement in vars(import_module(f"exospherehost.server.storage.{module}")).items()
        if isinstance(statement, Executable)
    }
    return {name: statement for name, statement in found.items() if name not in _PARTS | _EXCEPTIONS}


def history(runs: int) -> list[str]:
    """Return what fills a database of any kind with finished runs, as if a server had run them.

    Args:
        runs: How many, of two states each, each with a graph version of its own; the first has the key 1 and the id
            ``run-1``.
    """
    counting = f"SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs}"  # noqa: S608 - all of it is ours
    both = "(SELECT 0 AS j UNION SELECT 1) AS both_states"
    state = "2 * i + j, 'state-' || (2 * i + j), i, 'space', 'node', 'i', 'SUCCESS', '{}', '{}', NULL, '{}'"
    return [
        "INSERT INTO graphs VALUES (1, 'g', 'space', 'graph', 'v', 'v', 1, 1)",
        "INSERT INTO graph_versions VALUES ('v', 1, '{}', '{}', 1, '[]', 1, NULL)",
        f"CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS ({counting}) SELECT i FROM n",  # noqa: S608 - as above
        """INSERT INTO graph_versions SELECT 'v' || i, 1, '{}', '{"s":"k.x"}', 1, '[]', 1, 'k' FROM n""",
        "INSERT INTO runs SELECT i, 'run-' || i, 'space', 'graph', 'v' || i, '{}', 0, 2, 0, 0, i, NULL FROM n",
        "INSERT INTO run_totals SELECT namespace, 0, count(*) FROM runs GROUP BY namespace",
        f"INSERT INTO states SELECT {state}, 0, NULL, i, NULL, i, i, NULL, NULL FROM n, {both}",  # noqa: S608 - as above
        """INSERT INTO run_events SELECT key, run_key, 0, '[["SUCCESS", "i", "node", 1, ["s"]]]' FROM states""",
        "INSERT INTO joins SELECT id, 0, 0 FROM states",
        "INSERT INTO join_firings SELECT id, 'join' FROM states",
        "INSERT INTO trigger_keys SELECT namespace, graph_name, id, 'd', id, NULL, created_at FROM runs",
    ]
