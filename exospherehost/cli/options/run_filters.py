"""The options that choose runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from exospherehost.cli.options.durations import duration

_Command = TypeVar("_Command", bound=Callable[..., object])

STATUSES = ("PENDING", "SUCCESS", "FAILED", "CANCELLED")


def run_filter_options(command: _Command) -> _Command:
    """Add `--status`, `--graph`, `--since` and `--until`; the command gets the values under these names."""

    @click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice(STATUSES, case_sensitive=False),
        help="Runs with this status; may be repeated. A cancelled run is FAILED, too.",
    )
    @click.option("--graph", "graphs", multiple=True, metavar="NAME", help="Runs of this graph; may be repeated.")
    @click.option("--since", metavar="TIME", callback=_moment, help="Runs created since, such as 2h, 7d or 2026-01-31.")
    @click.option("--until", metavar="TIME", callback=_moment, help="Runs created before.")
    @functools.wraps(command)
    def with_filters(**arguments: Any) -> object:
        return command(**arguments)

    return with_filters  # type: ignore[return-value]


def moment(text: str) -> datetime:
    """Read a time: a duration before now, or an ISO 8601 date or time, in local time unless it has an offset.

    Raises:
        click.BadParameter: The text is neither.
    """
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return datetime.now(UTC) - duration(text)
        except (click.BadParameter, OverflowError):
            raise click.BadParameter(
                f"{text!r} is not a time: give a duration before now, such as 90m or 7d, "
                "or a time such as 2026-01-31T08:00"
            ) from None
    # Without an offset it is local time, as a person at the keyboard means it.
    return read.astimezone(UTC)


def _moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    return None if value is None else moment(value)
