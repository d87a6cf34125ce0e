"""Sessions on PostgreSQL: what each must have set, and whether a pooler lends them out by the transaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import psycopg

from exospherehost.server.domain.errors import StoreError

# Limits that an administrator may have set for a database or a user. The server's own sessions have good reason to be
# idle: they listen. Only those that this version of PostgreSQL has.
_LIFT_LIMITS = (
    b"SELECT set_config(name, '0', false) FROM pg_settings WHERE setting <> '0' AND name IN "
    b"('statement_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)
_LONGEST_DELIVERY_SECONDS = 5.0


def lift_limits(connection: psycopg.Connection) -> None:
    """Lift the limits on how long a session may be idle or a statement take, for this session."""
    connection.execute(_LIFT_LIMITS)
    if not connection.autocommit:
        # A rollback would set them again.
        connection.commit()


def require_sessions(connect: Callable[[], psycopg.Connection]) -> None:
    """See whether a connection is a session, in which LISTEN, advisory locks and settings last.

    Args:
        connect: Opens a connection in autocommit mode.

    Raises:
        StoreError: A pooler gives each transaction, or each statement, a session of any other's.
        psycopg.Error: The database cannot be reached.
    """
    channel = f"exosphere_{uuid.uuid4().hex}"
    with connect() as listening, connect() as other:
        listening.execute(f"LISTEN {channel}".encode())
        pid = _backend(listening)
        # Open at the same time, they share no session.
        is_lent = pid == _backend(other)
        if not is_lent:
            other.execute("SELECT pg_notify(%s, '')", (channel,))
            until = time.monotonic() + _LONGEST_DELIVERY_SECONDS
            is_heard = False
            while not is_heard and time.monotonic() < until:
                is_heard = bool(list(listening.notifies(timeout=0.2, stop_after=1)))
            is_lent = not is_heard or pid != _backend(listening)
        if is_lent:
            raise StoreError(
                "its connections are no sessions: LISTEN, advisory locks and prepared statements do not last in them. "
                "A pooler lends them out by the transaction: let PgBouncer use pool_mode=session for this database, or "
                "give the address of PostgreSQL itself"
            )
        listening.execute(f"UNLISTEN {channel}".encode())


def _backend(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return 0 if row is None else int(row[0])
