"""What servers on one PostgreSQL database tell one another: LISTEN and NOTIFY.

News are sent after the commit that they are about, on a connection of their own. Sent within it, they would make
commits wait for one another, since PostgreSQL lets one transaction at a time commit that has notified; and a burst of
commits would be told one by one. The price is that a server killed between the two tells nobody: so whoever waits for
news also looks for himself every few seconds.

While no other server has the database open nothing is sent; a new one says hello. Each holds an advisory lock while it
is there, by which the next one knows that it is not alone.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg

_log = logging.getLogger(__name__)

_CHANNEL = "exosphere"
# Any number will do that nothing else in the database uses.
_PRESENCE = 0x65786F_68657265
# PostgreSQL takes less than 8,000 bytes.
_LARGEST_PAYLOAD = 7_500
_MOST_PAYLOADS = 20
_LISTEN_SECONDS = 1.0
_PROVE_EVERY = 10
_PAUSE_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_HELLO, _BYE, _ANYTHING = "hello", "bye", "anything"

News = Counter[tuple[Any, ...]]
"""What happened, and how many times."""


class Notifications:
    """Tells other servers on the database what happened here, and hears what happened there.

    Args:
        connect: Opens a connection in autocommit mode.

    Attributes:
        was_alone: Whether nobody else was there at the start.

    Raises:
        psycopg.Error: The database cannot be reached.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._id = uuid.uuid4().hex[:16]
        self._closed = threading.Event()
        self._handlers: dict[str, Callable[[News], None]] = {}
        self._missed: Callable[[], None] = lambda: None
        self._outgoing: queue.SimpleQueue[tuple[str, News] | None] = queue.SimpleQueue()
        connection = connect()
        try:
            self.was_alone = self._subscribe(connection)
        except BaseException:
            connection.close()
            raise
        self._has_others = not self.was_alone
        self._threads = [
            threading.Thread(target=self._listen, args=(connection,), name="exosphere-listen", daemon=True),
            threading.Thread(target=self._send, name="exosphere-notify", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._outgoing.put((_HELLO, Counter()))

    def when_told(self, kind: str, handler: Callable[[News], None]) -> None:
        """Have ``handler`` called, in a thread of this object's, with news of a kind from other servers."""
        self._handlers[kind] = handler

    def when_missed(self, handler: Callable[[], None]) -> None:
        """Have ``handler`` called, in a thread of this object's, when news of any kind may have been lost."""
        self._missed = handler

    def tell(self, kind: str, news: Iterable[tuple[Any, ...]]) -> None:
        """Send news to the other servers, if there are any, without waiting for it.

        Args:
            kind: The kind.
            news: What happened: tuples of JSON values.
        """
        if self._has_others:
            self._outgoing.put((kind, Counter(news)))

    def close(self) -> None:
        """Send what waits and let go of the connections."""
        self._closed.set()
        self._outgoing.put(None)
        for thread in self._threads:
            thread.join()

    def _subscribe(self, connection: psycopg.Connection) -> bool:
        """Listen and be counted; tell whether nobody else was there."""
        alone = _is_true(connection.execute("SELECT pg_try_advisory_lock(%s)", (_PRESENCE,)))
        connection.execute(f"LISTEN {_CHANNEL}".encode())
        connection.execute("SELECT pg_advisory_lock_shared(%s)", (_PRESENCE,))
        if alone:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_PRESENCE,))
        return alone

    def _listen(self, connection: psycopg.Connection | None) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                if connection is None:
                    connection = self._connect()
                    self._subscribe(connection)
                    _log.info("event=listening_again")
                    failures = 0
                    # Somebody may have come meanwhile, and something may have been told.
                    self._has_others = True
                    self._outgoing.put((_HELLO, Counter()))
                    self._call(self._missed)
                self._hear(connection)
            except (psycopg.Error, OSError) as error:
                if failures == 0:
                    _log.warning("event=listening_failed reason=%s", (str(error).splitlines() or [""])[0])
                if connection is not None:
                    connection.close()
                    connection = None
                self._closed.wait(_PAUSE_SECONDS[min(failures, len(_PAUSE_SECONDS) - 1)])
                failures += 1
        if connection is not None:
            connection.close()

    def _hear(self, connection: psycopg.Connection) -> None:
        for _turn in range(_PROVE_EVERY):
            for notification in connection.notifies(timeout=_LISTEN_SECONDS):
                self._take(notification.payload)
                if self._closed.is_set():
                    return
            if self._closed.is_set():
                return
        # A connection that only listens would never notice that its other end is gone.
        connection.execute("SELECT 1")

    def _take(self, payload: str) -> None:
        try:
            sender, kind, entries = json.loads(payload)
            news: News = Counter({tuple(entry): count for *entry, count in entries})
        except (ValueError, TypeError):
            _log.warning("event=notification_unreadable length=%d", len(payload))
            return
        if sender == self._id:
            return
        self._has_others = True
        if kind == _ANYTHING:
            self._call(self._missed)
        elif kind in self._handlers:
            handler = self._handlers[kind]
            self._call(lambda: handler(news))

    def _call(self, handler: Callable[[], None]) -> None:
        try:
            handler()
        except Exception:  # noqa: BLE001 (the thread must outlive it: what else is told matters no less)
            _log.exception("event=notification_failed")

    def _send(self) -> None:
        connection: psycopg.Connection | None = None
        open_ended = True
        while open_ended:
            waiting, open_ended = self._next_news()
            if not open_ended:
                # Wakes our own listener, so that it sees that it is over.
                waiting[_BYE] = Counter()
            try:
                if connection is None:
                    connection = self._connect()
                    # It says what others can find for themselves: nothing that a crash may not lose.
                    connection.execute("SET synchronous_commit = off")
                for payload in self._payloads(waiting):
                    connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))
            except (psycopg.Error, OSError) as error:
                # The others look for themselves every few seconds.
                _log.warning("event=notify_failed reason=%s", (str(error).splitlines() or [""])[0])
                if connection is not None:
                    connection.close()
                    connection = None
                self._closed.wait(_PAUSE_SECONDS[0])
        if connection is not None:
            connection.close()

    def _next_news(self) -> tuple[dict[str, News], bool]:
        """Wait for news and take all that is there; the flag turns false at the end of all."""
        merged: dict[str, News] = {}
        item = self._outgoing.get()
        while item is not None:
            kind, news = item
            merged.setdefault(kind, Counter()).update(news)
            try:
                item = self._outgoing.get_nowait()
            except queue.Empty:
                return merged, True
        return merged, False

    def _payloads(self, waiting: dict[str, News]) -> list[str]:
        payloads = [payload for kind, news in waiting.items() for payload in self._cut(kind, news)]
        if len(payloads) > _MOST_PAYLOADS or any(len(payload) > _LARGEST_PAYLOAD for payload in payloads):
            payloads = [self._payload(_ANYTHING, ())]
            payloads += [self._payload(kind, ()) for kind in (_HELLO, _BYE) if kind in waiting]
        return payloads

    def _cut(self, kind: str, news: News) -> list[str]:
        entries = [[*what, count] for what, count in news.items()]
        whole = self._payload(kind, entries)
        if len(whole) <= _LARGEST_PAYLOAD or len(entries) == 1:
            return [whole]
        # Of entries of like size, so many fit; where they differ much, a part may still be too large.
        parts = len(whole) // (_LARGEST_PAYLOAD // 2) + 1
        size = max(1, len(entries) // parts)
        return [self._payload(kind, entries[start : start + size]) for start in range(0, len(entries), size)]

    def _payload(self, kind: str, entries: Sequence[Sequence[Any]]) -> str:
        return json.dumps([self._id, kind, entries], separators=(",", ":"))


def _is_true(cursor: psycopg.Cursor[Any]) -> bool:
    row = cursor.fetchone()
    return row is not None and bool(row[0])
