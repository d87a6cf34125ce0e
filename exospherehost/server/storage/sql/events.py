"""The log of transitions in SQL: gathered while a transaction runs, written at its end, read by those who follow.

A row holds many transitions of one run that were made in one transaction, since a row for each would cost a wide
fan-out most of what is cheap about it. It is a list of groups ``[status, identifier, node_name, epoch_ms, state_ids]``.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, literal_column, select, tuple_

from exospherehost.server.domain.records import EventCursor, EventPage, TransitionRecord
from exospherehost.server.domain.store import Note
from exospherehost.server.storage.sql.base import SqlPart, binds, dump, load
from exospherehost.server.storage.sql.dialect import oldest_open_transaction, this_transaction
from exospherehost.server.storage.sql.tables import run_events as log

_LARGEST_ROW = 200
"""The most transitions of a row: what a reader cannot help holding at once."""

ADD_EVENTS = insert(log).values(binds("run_key", "transitions") | {"written_by": this_transaction()})
_FROM = (
    log.c.run_key == bindparam("of_run"),
    tuple_(log.c.written_by, log.c.key) >= tuple_(bindparam("from_writer"), bindparam("from_key")),
)
# Only what is settled: a transaction that began before may still commit, and would then have been passed over.
_READ = (
    select(log.c.written_by, log.c.key, log.c.transitions)
    .where(*_FROM, log.c.written_by < oldest_open_transaction())
    .order_by(log.c.written_by, log.c.key)
    .limit(bindparam("limit"))
)
_WITHHELD = select(log.c.key).where(*_FROM, log.c.written_by >= oldest_open_transaction()).limit(literal_column("1"))
_LAST = (
    select(log.c.written_by, log.c.key, log.c.transitions)
    .where(log.c.run_key == bindparam("of_run"))
    .order_by(log.c.written_by.desc(), log.c.key.desc())
    .limit(literal_column("1"))
)


class _Logged(NamedTuple):
    run_key: int
    status: str
    identifier: str
    node_name: str
    at_ms: int
    state_id: str


class SqlEvents(SqlPart):
    """The log of transitions.

    Attributes:
        logs_events: Whether transitions are logged at all.
        changed_runs: The keys of the runs of which the transaction has logged transitions.
        notes: What is to be counted once the transaction is durable.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.logs_events = False
        self.changed_runs: set[int] = set()
        self.notes: list[Note] = []
        self._logged: list[_Logged] = []

    def log(self, run_key: int, status: str, identifier: str, node_name: str, at_ms: int, state_id: str) -> None:
        """Keep a transition for the log."""
        if self.logs_events:
            self._logged.append(_Logged(run_key, status, identifier, node_name, at_ms, state_id))

    def logged(self) -> int:
        """Return how many transitions are kept, for :meth:`forget_logged`."""
        return len(self._logged)

    def forget_logged(self, kept: int) -> None:
        """Drop the transitions kept since then, for their changes were undone."""
        del self._logged[kept:]

    def write_logged(self) -> None:
        """Write the transitions kept, as the last thing that the transaction does."""
        if not self._logged:
            return
        by_run: dict[int, list[_Logged]] = {}
        for transition in self._logged:
            by_run.setdefault(transition.run_key, []).append(transition)
        self._statements.change_many(
            self._connection,
            ADD_EVENTS,
            [
                {"run_key": run_key, "transitions": _packed(transitions[start : start + _LARGEST_ROW])}
                for run_key, transitions in by_run.items()
                for start in range(0, len(transitions), _LARGEST_ROW)
            ],
        )
        self.changed_runs |= by_run.keys()
        self._logged.clear()

    def read_events(self, run_key: int, after: EventCursor, *, rows: int) -> EventPage:
        """Return the transitions of a run that come after a place in its log."""
        since = {"of_run": run_key, "from_writer": after.written_by, "from_key": after.key}
        found = self._rows(_READ, limit=rows, **since)
        following = after
        transitions: list[TransitionRecord] = []
        for written_by, key, text in found:
            # Only the row of the cursor itself may have been told in part.
            seen = after.number + 1 if (written_by, key) == after[:2] else 0
            transitions += _transitions(written_by, key, text)[seen:]
            following = EventCursor(written_by, key + 1)
        full = len(found) == rows
        return EventPage(transitions, following, full, not full and self._row(_WITHHELD, **since) is not None)

    def last_event(self, run_key: int) -> TransitionRecord | None:
        """Return the last transition in a run's log."""
        row = self._row(_LAST, of_run=run_key)
        return None if row is None else _transitions(*row)[-1]


def _packed(transitions: list[_Logged]) -> str:
    return dump(
        [
            [*kind, [transition.state_id for transition in alike]]
            for kind, alike in groupby(transitions, key=lambda logged: logged[1:5])
        ]
    )


def _transitions(written_by: int, key: int, text: str) -> list[TransitionRecord]:
    of_row = [
        (state_id, identifier, node_name, status, at_ms)
        for status, identifier, node_name, at_ms, state_ids in load(text)
        for state_id in state_ids
    ]
    return [TransitionRecord(EventCursor(written_by, key, number), *row) for number, row in enumerate(of_row)]
