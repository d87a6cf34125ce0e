"""Rows that are written together: one statement for all of them, which are its one parameter, a JSON array.

A statement that is executed for each row costs the driver, and the database, more than the row does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    TableValuedAlias,
    Update,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.sql.base import Executable

from exospherehost.server.storage.sql.batch_unit import SET_JOIN
from exospherehost.server.storage.sql.dialect import this_transaction
from exospherehost.server.storage.sql.events import ADD_EVENTS
from exospherehost.server.storage.sql.runs import (
    ADD_RUNS,
    CHANGED_FIELDS,
    COUNT_FIELDS,
    RUN_FIELDS,
    STATE_FIELDS,
    SqlRuns,
)
from exospherehost.server.storage.sql.tables import joins, run_events, runs, states

ROWS, KEYS = "rows", "keys"
"""The parameters' names."""


def _given(columns: Iterable[Column[Any]], **others: Column[Any]) -> TableValuedAlias:
    """Return the rows as a table: columns by their own names, others by these, each of its column's type."""
    types = {of.name: of.type for of in columns} | {name: of.type for name, of in others.items()}
    rows = func.json_to_recordset(bindparam(ROWS, type_=JSON))
    return rows.table_valued(*(column(name, type_) for name, type_ in types.items())).render_derived(
        "given", with_types=True
    )


_run = _given(runs.c[name] for name in RUN_FIELDS)
_state = _given(states.c[name] for name in STATE_FIELDS)
_changed = _given(
    (states.c[name] for name in (*CHANGED_FIELDS, "prune_data")), of_id=states.c.id, was_status=states.c.status
)
_join = _given((joins.c.pending, joins.c.failed), of_id=joins.c.state_id)
_count = _given((), of_key=runs.c.key, **{f"more_{name}": runs.c[name] for name in COUNT_FIELDS})
_event = _given((run_events.c.run_key, run_events.c.transitions))


class Together(NamedTuple):
    """A statement about many rows.

    Attributes:
        statement: The statement.
        key: What the rows that it changes are found by; None for one that adds rows.
    """

    statement: Executable
    key: str | None = None


def _update(column: Column[Any], given: TableValuedAlias, key: str) -> Update:
    # By the keys too: with nothing but the rows to go by, the database may think it cheaper to read all of the table.
    keys = func.json_array_elements_text(bindparam(KEYS, type_=JSON)).column_valued("wanted")
    wanted = func.array(select(cast(keys, column.type)).scalar_subquery())
    return update(column.table).where(column == given.c[key], column == any_(wanted))


_CHANGE_STATES = (
    _update(states.c.id, _changed, "of_id")
    .where(states.c.status == _changed.c.was_status)
    .values({name: _changed.c[name] for name in CHANGED_FIELDS} | {"lease_expires_at": null()})
)
_PRUNE_STATES = _CHANGE_STATES.values(prune_data=_changed.c.prune_data)
_SET_JOINS = _update(joins.c.state_id, _join, "of_id").values(pending=_join.c.pending, failed=_join.c.failed)
_COUNT = (
    _update(runs.c.key, _count, "of_key")
    .where(runs.c.cancelled_at.is_(None))
    .values({name: runs.c[name] + _count.c[f"more_{name}"] for name in COUNT_FIELDS})
)

TOGETHER: Mapping[Executable, Together] = {
    ADD_RUNS: Together(insert(runs).from_select(RUN_FIELDS, select(*_run.c))),
    SqlRuns.add_state_statement: Together(insert(states).from_select(STATE_FIELDS, select(*_state.c))),
    SqlRuns.change_state_statement: Together(_CHANGE_STATES, "of_id"),
    SqlRuns.prune_state_statement: Together(_PRUNE_STATES, "of_id"),
    SET_JOIN: Together(_SET_JOINS, "of_id"),
    SqlRuns.count_statement: Together(_COUNT, "of_key"),
    ADD_EVENTS: Together(
        insert(run_events).from_select(
            ("run_key", "transitions", "written_by"),
            # Found out once, not for each row.
            select(*_event.c, select(this_transaction()).scalar_subquery()),
        )
    ),
}
"""For a statement about one row, that about many."""
