"""What differs between databases in the statements themselves: one construct for each, compiled for the dialect."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement


class this_transaction(ColumnElement[int]):  # noqa: N801 (it stands in statements as a function does)
    """A number by which what a transaction writes comes after all that it has seen; 0 where one follows another.

    It is no lower than the transaction's own, so that nobody is shown what others may yet write before it.
    """

    inherit_cache = True
    type = BigInteger()


class oldest_open_transaction(ColumnElement[int]):  # noqa: N801 (as above)
    """The number below which every transaction has ended, in the reader's view; above all numbers where none is open.

    What a lower number has written is all there is to see of it, now and later.
    """

    inherit_cache = True
    type = BigInteger()


@compiles(this_transaction)
def _no_number(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "0"


@compiles(this_transaction, "postgresql")
def _number(_element: Any, _compiler: Any, **_options: Any) -> str:
    # A transaction sees what others commit while it is under way, with higher numbers than its own. The last of them is
    # one less than the end of the view, and has ended, so that the wait for it is over.
    own = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
    return f"greatest({own}, CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) - 1)"


@compiles(oldest_open_transaction)
def _none_open(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "1"


@compiles(oldest_open_transaction, "postgresql")
def _oldest(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
