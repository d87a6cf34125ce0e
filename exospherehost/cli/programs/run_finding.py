"""Runs by filters, and by the beginning of an id."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import click

from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.programs.service_calls import NotFoundFailure
from exospherehost_client.models import RunSummary

CANCELLED = "CANCELLED"
WHOLE_ID = 36
"""The length of a run's id."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The runs that a command is about.

    Attributes:
        statuses: Any of these; empty for all.
        graphs: Runs of any of these graphs; empty for all.
        since: Runs created at this time or later.
        until: Runs created before this time.
    """

    statuses: Sequence[str] = ()
    graphs: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it lets all runs through."""
        return not (self.statuses or self.graphs or self.since or self.until)

    def takes(self, run: RunSummary) -> bool:
        """Return whether it lets a run through."""
        return (
            (not self.statuses or status_of(run) in self.statuses or str(run.status) in self.statuses)
            and (not self.graphs or run.graph_name in self.graphs)
            and (self.since is None or run.created_at >= self.since)
            and (self.until is None or run.created_at < self.until)
        )


def status_of(run: RunSummary) -> str:
    """Return a run's status; CANCELLED for a run that was cancelled, which the service calls FAILED."""
    return CANCELLED if run.cancelled_at is not None else str(run.status)


async def find_runs(manager: StateManager, chosen: RunFilter, limit: int) -> tuple[list[RunSummary], bool]:
    """Read the newest runs that a filter lets through, and whether there are more.

    The service lists runs newest first and does not filter, so older pages are read until there are enough.
    """
    found: list[RunSummary] = []
    async with aclosing(_newest_first(manager)) as runs:
        async for run in runs:
            if chosen.since is not None and run.created_at < chosen.since:
                break
            if chosen.takes(run):
                if len(found) == limit:
                    return found, True
                found.append(run)
    return found, False


async def whole_run_id(manager: StateManager, beginning: str) -> str:
    """Return the id of the run whose id begins so.

    Raises:
        click.ClickException: No run's id begins so, or several do.
    """
    if len(beginning) >= WHOLE_ID:
        return beginning
    found: list[RunSummary] = []
    async with aclosing(_newest_first(manager)) as runs:
        async for run in runs:
            if run.run_id.startswith(beginning.lower()):
                found.append(run)
            if len(found) > 1:
                shown = " and ".join(f"{each.run_id} ({each.graph_name})" for each in found)
                raise click.UsageError(f"several runs begin with {beginning!r}, such as {shown}: give more of the id")
    if not found:
        raise NotFoundFailure(
            f"no run of this namespace begins with {beginning!r}: `exospherehost runs list` shows them"
        )
    return found[0].run_id


async def _newest_first(manager: StateManager) -> AsyncGenerator[RunSummary, None]:
    async with aclosing(manager.list_runs()) as runs:
        async for run in runs:
            yield run
