"""Transactions on PostgreSQL: units of work share one, and are run again where others or a failure came in between.

Units run one after the other without savepoints. One that fails before it has acted leaves nothing to undo; after that,
or where what was put off cannot be written, the transaction is rolled back and its units run again, each in a savepoint
of its own.

*Locks.* The first unit of a transaction waits for locks while it holds only its own, which are taken in one order.
Those after it hold the locks of those before, and so wait for a moment only: then the transaction commits what it has,
and the rest go again. So no cycle lasts, and none waits for the database's deadlock detection.

*A lost connection.* Before the commit nothing of the transaction remains, so its units are run again. If it is lost
while the commit is under way, the outcome is asked for: each transaction that has written anything has also written its
number into a row of its own connection's. That row tells, once the connection's end has let go of it, whether the
transaction was committed, also after a crash of the server or a failover. So each unit is done once, whatever happens,
unless the database stays away for longer than callers wait.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence

import psycopg
from sqlalchemy import BigInteger, Connection, Engine, bindparam, text
from sqlalchemy.exc import DBAPIError

from exospherehost.server.domain.errors import StoreError, StoreUnavailable
from exospherehost.server.storage.postgresql.unit import PostgresUnit
from exospherehost.server.storage.sql.base import Spoilt, TransactionLost
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.writer import Busy, News, Task, work_on

_log = logging.getLogger(__name__)

# A transaction's row locks make others wait, so batches are kept short; and beyond 64 savepoints PostgreSQL slows down.
_LARGEST_TRANSACTION = 64
# Two of the connections that write at once seldom have the same; the more there are, the more a list of runs adds up.
_SLOTS = 64
_LOCK_TIMEOUT_MS = 50
_PATIENT_LOCK_TIMEOUT_MS = 5_000
_SETTINGS = {
    "lock_timeout": _LOCK_TIMEOUT_MS,
    # What writers execute is found by keys, whatever their values and however large the tables are: by one plan that
    # stays right while an empty database fills, where the choice between plans would follow statistics of minutes ago.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}
_PAUSE_FOR_LOCKS = 0.02
_PAUSE_WHILE_AWAY = 0.5
_LONGEST_DOUBT_SECONDS = 60.0

# The first thing that is written at the end, and it says how long the rest may wait for locks.
_MARK = text(
    "INSERT INTO writer_marks (writer, mark, updated_at) "  # noqa: S608 (a number of ours)
    f"SELECT :writer, :mark, :now_ms FROM set_config('lock_timeout', '{_PATIENT_LOCK_TIMEOUT_MS}', true) "
    "ON CONFLICT (writer) DO UPDATE SET mark = excluded.mark, updated_at = excluded.updated_at"
).bindparams(bindparam("mark", type_=BigInteger), bindparam("now_ms", type_=BigInteger))
_READ_MARK = text("SELECT mark FROM writer_marks WHERE writer = :writer FOR UPDATE")
_DROP_MARK = text("DELETE FROM writer_marks WHERE writer = :writer")

# What a unit meets when others were faster, or hold what it needs: run again, it finds what they did.
_RUN_AGAIN = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
)
# The server goes away, or is not the one that can be written to; or somebody has ended the session or the statement.
_AWAY = ("57P01", "57P02", "57P03", "57P05", "57014", "25P03", "25P04", "53300", "25006")
_FAULTS = {
    "53100": "the disk that holds the database is full",
    "53200": "the database is out of memory",
    "58030": "the disk that holds the database fails",
}


def is_away(error: BaseException) -> bool:
    """Tell whether an error means that the database, or the connection to it, is gone and may come back."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    if not isinstance(error, psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError):
        return False
    state = error.sqlstate
    return state is None or state.startswith("08") or state in _AWAY


def explained(error: BaseException) -> BaseException:
    """Return an error as those are told who cannot mend it: one about the database's machine says so in words."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    fault = _FAULTS.get(driver.sqlstate or "") if isinstance(driver, psycopg.Error) else None
    return error if fault is None else StoreUnavailable(fault)


class PostgresWriter:
    """Runs units in one writing thread, on a connection of its own.

    Args:
        engine: Where to connect.
        statements: The compiled statements of its dialect.
        is_closing: Tells whether nobody waits for a database any longer that is away.
        logs_events: Whether every transition is written to the log of its run.
    """

    def __init__(
        self, engine: Engine, statements: Statements, is_closing: Callable[[], bool], *, logs_events: bool
    ) -> None:
        self._engine = engine
        self._statements = statements
        self._is_closing = is_closing
        self._logs_events = logs_events
        self._connection: Connection | None = None
        self._id = uuid.uuid4().hex
        self._number = 0
        self._is_away = False

    def run(self, batch: Sequence[Task]) -> News:
        """Run units and give each its result or its error."""
        # One that was turned away goes first, where it may wait for its locks.
        tasks = sorted(batch, key=lambda task: not task.patient)
        news = News()
        for start in range(0, len(tasks), _LARGEST_TRANSACTION):
            self._run_part(tasks[start : start + _LARGEST_TRANSACTION], news)
        return news

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            try:
                self._statements.change(self._connection, _DROP_MARK, {"writer": self._id})
                self._driver(self._connection).commit()
            except psycopg.Error:
                _log.debug("event=mark_left writer=%s", self._id)
            self._drop_connection()

    def _run_part(self, tasks: Sequence[Task], news: News) -> None:
        try:
            try:
                self._transact(tasks, news, careful=False)
            except Spoilt:
                self._transact(tasks, news, careful=True)
        except BaseException as error:  # noqa: BLE001 (the thread must outlive any failure, and tell who waits)
            self._roll_back()
            self._fail(tasks, error)
            news.failures += 1
            return
        if self._is_away:
            self._is_away = False
            _log.info("event=database_back")

    def _fail(self, tasks: Sequence[Task], error: BaseException) -> None:
        told: BaseException = error
        if is_away(error):
            if not self._is_away:
                self._is_away = True
                _log.warning("event=database_away reason=%s", _first_line(error))
            told = Busy("the database cannot be reached", pause=_PAUSE_WHILE_AWAY)
        elif isinstance(error, _RUN_AGAIN):
            told = _busy(error)
        elif isinstance(error, TransactionLost):
            told = Busy("the transaction was lost", pause=_PAUSE_FOR_LOCKS)
        else:
            _log.error("event=write_failed units=%d", len(tasks), exc_info=error)
            told = explained(error)
        for task in tasks:
            task.error = told

    def _transact(self, tasks: Sequence[Task], news: News, *, careful: bool) -> None:
        """Run units in one transaction, with care each in a savepoint.

        Raises:
            Spoilt: A unit failed after it had acted, without a savepoint, or what was put off cannot be written;
                nothing of the transaction remains.
            Exception: The transaction failed as a whole; it has yet to be rolled back.
        """
        began = time.perf_counter()
        connection = self._connected()
        driver = self._driver(connection)
        unit = PostgresUnit(connection, self._statements)
        unit.logs_events = self._logs_events
        unit.slot = driver.info.backend_pid % _SLOTS
        if careful:
            unit.take_care()
        unit.expect([task.concerns for task in tasks])
        for index, task in enumerate(tasks):
            self._set_patience(driver, tasks, index)
            if not self._run_unit(unit, driver, task, careful=careful, is_first=index == 0):
                # Whoever holds what it wants may wait for what this transaction holds: let go of that.
                for late in tasks[index + 1 :]:
                    late.error = Busy("behind one that waits for a lock", pause=0)
                break
        if unit.has_changed:
            self._number += 1
            try:
                with driver.pipeline():
                    self._statements.change(connection, _MARK, self._mark_values())
                    unit.flush()
                unit.check()
            except Exception as error:
                if careful or is_away(error) or isinstance(error, _RUN_AGAIN):
                    raise
                driver.rollback()
                raise Spoilt from error
        worked = time.perf_counter()
        self._commit(driver, has_changed=unit.has_changed)
        news.add(unit, len(tasks), began=began, worked=worked)

    def _run_unit(
        self, unit: PostgresUnit, driver: psycopg.Connection, task: Task, *, careful: bool, is_first: bool
    ) -> bool:
        """Run one unit, and tell whether the transaction may go on to the next."""
        task.error = None
        unit.begin()
        try:
            work_on(unit, task, careful=careful)
        except (TransactionLost, psycopg.InterfaceError):
            raise
        except Exception as error:
            if is_away(error):
                raise
            if not careful and (unit.has_acted or _is_failed(driver)):
                driver.rollback()
                if is_first and isinstance(error, _RUN_AGAIN):
                    # Nobody is helped by running all of them again at once.
                    raise
                raise Spoilt from error
            unit.forget()
            task.error = _busy(error) if isinstance(error, _RUN_AGAIN) else explained(error)
            return not isinstance(error, psycopg.errors.LockNotAvailable)
        unit.keep()
        return True

    def _set_patience(self, driver: psycopg.Connection, tasks: Sequence[Task], index: int) -> None:
        if tasks[0].patient and index < 2:
            _set_lock_timeout(driver, _LOCK_TIMEOUT_MS if index else _PATIENT_LOCK_TIMEOUT_MS)

    def _commit(self, driver: psycopg.Connection, *, has_changed: bool) -> None:
        try:
            driver.commit()
        except psycopg.Error as error:
            if not has_changed or not is_away(error):
                raise
            _log.warning("event=commit_in_doubt reason=%s", _first_line(error))
            self._drop_connection()
            if not self._was_committed():
                raise
            _log.info("event=commit_confirmed")

    def _was_committed(self) -> bool:
        """Tell whether the transaction that was being committed when the connection was lost has been.

        Raises:
            StoreError: The database stays away.
        """
        until = time.monotonic() + _LONGEST_DOUBT_SECONDS
        while True:
            try:
                connection = self._connected()
                _set_lock_timeout(self._driver(connection), _PATIENT_LOCK_TIMEOUT_MS)
                # Waits for the row while the other end of the lost connection still holds it.
                rows = self._statements.rows(connection, _READ_MARK, {"writer": self._id})
                self._driver(connection).commit()
            except (psycopg.Error, DBAPIError) as error:
                self._drop_connection()
                if time.monotonic() > until or self._is_closing():
                    raise StoreError(
                        "the database went away while it was committing, and has not come back: what became of the "
                        "request is not known"
                    ) from error
                time.sleep(_PAUSE_WHILE_AWAY)
            else:
                return bool(rows) and rows[0][0] == self._number

    def _mark_values(self) -> dict[str, object]:
        return {"writer": self._id, "mark": self._number, "now_ms": time.time_ns() // 1_000_000}

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            self._connection = connection
            driver = self._driver(connection)
            driver.execute("".join(f"SET {name} = {value};" for name, value in _SETTINGS.items()).encode())
            driver.commit()
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._driver(self._connection).rollback()
            except (psycopg.Error, StoreError):
                self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Whatever state it is in, the next transaction gets a fresh one.
            connection.invalidate()
            connection.close()

    @staticmethod
    def _driver(connection: Connection) -> psycopg.Connection:
        driver = connection.connection.dbapi_connection
        if not isinstance(driver, psycopg.Connection):
            raise StoreError(f"unexpected driver: {type(driver).__name__}")
        return driver


def _set_lock_timeout(driver: psycopg.Connection, timeout_ms: int) -> None:
    driver.execute(f"SET LOCAL lock_timeout = {timeout_ms}".encode())


def _busy(error: BaseException) -> Busy:
    return Busy(f"others were in the way ({type(error).__name__})", pause=_PAUSE_FOR_LOCKS)


def _is_failed(driver: psycopg.Connection) -> bool:
    return driver.info.transaction_status == psycopg.pq.TransactionStatus.INERROR


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
