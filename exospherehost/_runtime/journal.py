"""A small durable record of what a runtime has claimed and of outcomes that are not acknowledged."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError
from pydantic_core import to_json

from exospherehost._errors import ConfigurationError, ExosphereError
from exospherehost._runtime import outcomes
from exospherehost._runtime.outcomes import Outcome

_VERSION = 2
"""Version 1 has no claim tokens."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS states (state_id TEXT PRIMARY KEY, outcome TEXT, claim_token TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS journal (one INTEGER PRIMARY KEY CHECK (one = 1), namespace TEXT, probes INTEGER)",
)
_PROBE = "UPDATE journal SET probes = probes + 1"
_ADD_COLUMN = "ALTER TABLE states ADD COLUMN claim_token TEXT"
_CLAIMED = (
    "INSERT INTO states (state_id, claim_token) VALUES (?, ?) "
    "ON CONFLICT (state_id) DO UPDATE SET outcome = NULL, claim_token = excluded.claim_token"
)
_OUTCOME = (
    "INSERT INTO states (state_id, outcome) VALUES (?, ?) "
    "ON CONFLICT (state_id) DO UPDATE SET outcome = excluded.outcome"
)
_SETTLED = "DELETE FROM states WHERE state_id = ?"

_Write = tuple[str, list[tuple[Any, ...]], Callable[[BaseException | None], None] | None]


class JournalError(ExosphereError):
    """The journal cannot be written."""


class Journal:
    """A journal in one SQLite file, which one runtime at a time may use; an async context manager.

    Writes go through one thread, which commits together what waits together.

    Args:
        path: the file; made where it is missing.
        namespace: the namespace of its states; a journal serves one.

    Raises:
        ConfigurationError: on entering, the file cannot be used, another runtime uses it, or it is another
            namespace's.
    """

    def __init__(self, path: Path, namespace: str) -> None:
        self._path = path
        self._namespace = namespace
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._left: list[tuple[str, str | None, str | None]] = []

    async def __aenter__(self) -> Self:
        connection = await asyncio.to_thread(self._open)
        self._thread = threading.Thread(
            target=self._write_on, args=(connection,), name="exospherehost-journal", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def left_over(self) -> tuple[list[Outcome], dict[str, str | None]]:
        """Return what an earlier run left: undelivered outcomes, and unfinished states with their claim tokens."""
        finished = [_read(state_id, outcome) for state_id, outcome, _ in self._left if outcome is not None]
        return finished, {state_id: token for state_id, outcome, token in self._left if outcome is None}

    async def claimed(self, state_ids: Iterable[str], claim_tokens: Mapping[str, str] | None = None) -> None:
        """Record claims; durable on return.

        Args:
            state_ids: the states.
            claim_tokens: the tokens of the claims that hold them, by id. Default: they have none.

        Raises:
            JournalError: it cannot be written.
        """
        tokens = claim_tokens or {}
        await self._write(_CLAIMED, [(state_id, tokens.get(state_id)) for state_id in state_ids])

    async def outcome(self, outcome: Outcome) -> None:
        """Record an outcome; durable on return.

        Raises:
            JournalError: it cannot be written.
        """
        try:
            text = _json(outcome)
        except (ValueError, TypeError, RecursionError) as error:
            # The service cannot take it either, and is told of an error instead.
            lost = f"the {outcome.kind} report cannot be delivered: it is no JSON ({type(error).__name__})"
            text = _json(outcomes.errored(outcome.state_id, lost))
        await self._write(_OUTCOME, [(outcome.state_id, text)])

    async def probe(self) -> None:
        """Write something that means nothing.

        Raises:
            JournalError: it cannot be written.
        """
        await self._write(_PROBE, [()])

    def settled(self, state_ids: Iterable[str]) -> None:
        """Forget states, some time soon: an outcome that is delivered twice does no harm."""
        self._queue.put((_SETTLED, [(state_id,) for state_id in state_ids], None))

    async def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(_resolve, done, error)

        self._queue.put((statement, rows, tell))
        await done

    def _open(self) -> sqlite3.Connection:
        where = f"journal={str(self._path)!r}"
        try:
            # Made here, because SQLite would let others read it.
            self._path.touch(mode=0o600)
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=0, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{where} cannot be opened: {error}") from error
        try:
            # Exclusive, so that the file is locked from the first write on until it is closed.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            _check(connection, where)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN EXCLUSIVE")
            self._take_over(connection, where)
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise ConfigurationError(
                    f"{where} is used by another runtime; give each runtime a file of its own"
                ) from error
            if isinstance(error, sqlite3.Error):
                raise ConfigurationError(f"{where} cannot be used as a journal: {error}") from error
            raise
        return connection

    def _take_over(self, connection: sqlite3.Connection, where: str) -> None:
        """Read what an earlier run left, once it is certain that it was left to this one."""
        for statement in _SCHEMA:
            connection.execute(statement)
        if "claim_token" not in {column[1] for column in connection.execute("PRAGMA table_info(states)")}:
            connection.execute(_ADD_COLUMN)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("INSERT OR IGNORE INTO journal VALUES (1, ?, 0)", (self._namespace,))
        (namespace,) = connection.execute("SELECT namespace FROM journal").fetchone()
        self._left = connection.execute("SELECT state_id, outcome, claim_token FROM states").fetchall()
        if namespace != self._namespace and self._left:
            raise ConfigurationError(
                f"{where} holds states of the namespace {namespace!r}, and this runtime's is {self._namespace!r}; "
                "give each namespace a file of its own"
            )
        connection.execute("UPDATE journal SET namespace = ?", (self._namespace,))

    def _write_on(self, connection: sqlite3.Connection) -> None:
        goes_on = True
        unwritten: list[_Write] = []
        while goes_on:
            first = self._queue.get()
            batch = [] if first is None else [first]
            goes_on = first is not None
            while goes_on:
                try:
                    write = self._queue.get_nowait()
                except queue.Empty:
                    break
                if write is None:
                    goes_on = False
                else:
                    batch.append(write)
            batch = [*unwritten, *batch]
            unwritten = _commit(connection, batch) if batch else []
        connection.close()


def _json(outcome: Outcome) -> str:
    return to_json(outcome.report, inf_nan_mode="constants").decode()


def _read(state_id: str, text: str) -> Outcome:
    try:
        return outcomes.from_journal(text)
    except ValidationError:
        # Nested deeper than JSON is read, for instance: it must not keep the runtime from starting.
        return outcomes.errored(state_id, "the outcome that the journal kept cannot be read")


def _check(connection: sqlite3.Connection, where: str) -> None:
    """Refuse what is no journal, or not one of this version, before anything is written to it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise ConfigurationError(f"{where} is of a newer version of this package; use that, or another file")
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise ConfigurationError(f"{where} is another program's database; give the runtime a file of its own")


def _commit(connection: sqlite3.Connection, batch: list[_Write]) -> list[_Write]:
    """Write together; return what is to be written with the next: nobody waits for it to try it again."""
    failure: BaseException | None = None
    try:
        connection.execute("BEGIN")
        for statement, rows, _ in batch:
            connection.executemany(statement, rows)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        failure = JournalError(f"the journal cannot be written: {error}")
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    for _, _, tell in batch:
        if tell is not None:
            tell(failure)
    return [] if failure is None else [write for write in batch if write[2] is None]


def _resolve(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
