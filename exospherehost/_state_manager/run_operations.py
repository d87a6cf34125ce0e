"""The part of the state manager's face that is about runs: reading, following, retrying, cancelling."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from exospherehost._config import checked_segment
from exospherehost._errors import ConfigurationError, WaitTimeoutError
from exospherehost._state_manager.connection import ServiceConnection
from exospherehost._state_manager.runs import Run, Transition
from exospherehost._state_manager.task_iterator import TaskIterator
from exospherehost._state_manager.unclaimed_states import UnclaimedStates
from exospherehost._state_manager.watching import RunWatcher, read_run
from exospherehost._transport.manager_session import ManagerSession
from exospherehost_client import models
from exospherehost_client.extensions import CANCEL
from exospherehost_client.patterns import PATH_PATTERNS

PAGE_SIZE = 100

_WHERE_IDS_ARE = {
    "run_id": "`trigger` returns it, and `list_runs` lists it",
    "state_id": "`get_run` lists it, and `watch` tells it",
}


class RunOperations(ServiceConnection):
    """Reads, follows, retries and cancels runs; see :class:`exospherehost.StateManager`."""

    # ---- reading -------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> Run:
        """Read a run: its status, and all its states.

        One request. The service has no shorter answer about one run; for counts alone, `list_runs` brings less.
        Of a run of another namespace it shows the states that are in this one.

        Args:
            run_id: the run, as `trigger` returned it.

        Raises:
            ConfigurationError: (a ValueError) that is no run's id; nothing was sent.
            NotFoundError: there is no such run.
            APIError: the request did not end well.
        """
        _check_id("run_id", run_id)
        async with self._connected() as session:
            return await read_run(session, run_id)

    def list_runs(self, *, limit: int | None = None) -> TaskIterator[models.RunSummary]:
        """Iterate over the runs of the namespace, newest first; pages are read as they are needed.

        A run that begins meanwhile may be missing, and none comes twice.

        Args:
            limit: the most runs. Default: all.

        Yields:
            Each run's line: ids, counts of states, status, and when it was created and cancelled.

        Raises:
            ConfigurationError: (a ValueError) the limit is negative or no number; nothing was sent.
            APIError: a request did not end well.
        """
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise ConfigurationError(f"limit={limit!r} is no number from 0 on; pass limit=None for all")
        return TaskIterator(self._listed(limit))

    async def get_state(self, state_id: str, *, run_id: str, graph_name: str) -> models.StateDetail:
        """Read one state in full: its inputs, outputs, error and parents.

        Args:
            state_id: the state.
            run_id: its run.
            graph_name: its graph; the service finds a state by all three.

        Raises:
            ConfigurationError: (a ValueError) these are no ids; nothing was sent.
            NotFoundError: there is no such state in that run of that graph.
            APIError: the request did not end well.
        """
        checked_segment("graph_name", graph_name)
        _check_id("run_id", run_id)
        _check_id("state_id", state_id)
        async with self._connected() as session:
            return await session.get_state(graph_name, run_id, state_id)

    # ---- following -----------------------------------------------------------------------------

    def watch(self, run_id: str, *, last_event_id: str | None = None) -> TaskIterator[Transition]:
        """Iterate over the transitions of a run's states, those that have been and those to come, to its end.

        A service with the extension `events`, such as the embedded one, tells each transition in the moment
        in which it happens; after a break the stream goes on where it was. On another service the states are
        looked at again and again, less often the longer that takes: a state that goes through several
        statuses between two looks is seen in the last of them only, `occurred_at` and `event_id` are None,
        and the end is noticed up to a few seconds late. No transition comes twice either way.

        The loop may be left early. `contextlib.aclosing(manager.watch(...))` then gives the connection back
        before the program goes on, and not a moment later.

        Args:
            run_id: the run.
            last_event_id: begin after the transition with this `event_id`. Default: with the run's
                first. A service without `events` ignores it.

        Yields:
            Each transition of a state.

        Raises:
            ConfigurationError: (a ValueError) that is no run's id; nothing was sent.
            NotFoundError: there is no such run.
            APIError: the service refused, or was away for more than two minutes.
        """
        _check_id("run_id", run_id)
        return TaskIterator(self._followed(run_id, last_event_id))

    async def wait(self, run_id: str, *, timeout: float | None = None) -> Run:  # noqa: ASYNC109 - as users know it
        """Wait until a run has ended, well or not, and return it.

        `(await manager.wait(run_id)).raise_for_status()` raises where it has failed.

        A service with the extension `events` tells the end in the moment in which it happens. On another one
        the run is looked at again and again, less often the longer that takes, and a large run in the list
        of runs, which does not hold its states.

        Args:
            run_id: the run.
            timeout: seconds to wait at the most. Default: without end.

        Raises:
            WaitTimeoutError: (a TimeoutError) the time is over; the run goes on.
            ConfigurationError: (a ValueError) that is no run's id, or no number of seconds; nothing was sent.
            NotFoundError: there is no such run.
            APIError: the service refused, or was away for more than two minutes.
        """
        _check_id("run_id", run_id)
        if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
            raise ConfigurationError(f"timeout={timeout!r} is no number of seconds; pass timeout=None to wait on")
        limit = asyncio.timeout(timeout)
        unclaimed: UnclaimedStates | None = None
        try:
            async with limit, self._connected() as session:
                watcher = RunWatcher(session, run_id)
                unclaimed = watcher.unclaimed
                return await watcher.ended()
        except TimeoutError:
            # The service's own are TimeoutErrors, too.
            if not limit.expired():
                raise
        # Less than half of the time says little: a runtime may just be busy.
        reasons = unclaimed.describe(max(1.0, (timeout or 0.0) / 2)) if unclaimed is not None else []
        raise WaitTimeoutError(
            f"run {run_id} has not ended within {timeout} s and goes on: wait again, with a longer timeout=, or "
            f"cancel the run{''.join(f'; {reason}' for reason in reasons)}",
            run_id=run_id,
        )

    # ---- changing ------------------------------------------------------------------------------

    async def retry(self, state_id: str, *, fanout_id: str | None = None) -> models.ManualRetryResponse:
        """Execute a state again: a new state takes its place, with all its retries before it.

        A state that is being executed is taken away from its runtime, whose report is then refused. What
        a state that had succeeded has led to stays, and the new state leads to more of it.

        Args:
            state_id: the state; one that is waiting for its execution cannot be retried on every service.
            fanout_id: a name for this retry. The service refuses the same one twice, so that a call can be
                repeated without retrying twice. Default: a new one for each call.

        Returns:
            The new state's id and status.

        Raises:
            ConfigurationError: (a ValueError) that is no state's id; nothing was sent.
            ConflictError: the state was retried with this `fanout_id` before.
            NotFoundError: there is no such state.
            BadRequestError: the state is in a status in which it cannot be retried.
            APIConnectionError: no response; where its `sent` is true, the state may have been retried.
            APIError: the request did not end well.
        """
        _check_id("state_id", state_id)
        async with self._connected() as session:
            return await session.retry_state(state_id, str(uuid.uuid4()) if fanout_id is None else fanout_id)

    async def cancel(self, run_id: str) -> models.CancelRunResponse:
        """End a run: its waiting and running states are pruned, and nothing more is made.

        What a runtime is executing goes on there, and its report is refused. Needs a service with the
        extension `cancel`, such as the embedded one.

        Args:
            run_id: the run.

        Returns:
            The run's status, how many states this call has pruned, and when the run was cancelled first: None
            where it had ended before and stays as it was.

        Raises:
            UnsupportedByServerError: the service does not have the extension; nothing was sent.
            ConfigurationError: (a ValueError) that is no run's id; nothing was sent.
            NotFoundError: there is no such run.
            APIError: the request did not end well.
        """
        _check_id("run_id", run_id)
        async with self._connected() as session:
            return await self._with_extension(session, CANCEL, lambda: session.cancel_run(run_id))

    # ---- inside --------------------------------------------------------------------------------

    async def _followed(self, run_id: str, last_event_id: str | None) -> AsyncGenerator[Transition, None]:
        async with self._connected() as session:
            follower = RunWatcher(session, run_id, last_event_id)
            async with aclosing(follower.transitions()) as transitions:
                async for transition in transitions:
                    yield transition

    async def _listed(self, limit: int | None) -> AsyncGenerator[models.RunSummary, None]:
        size = PAGE_SIZE if limit is None else min(limit, PAGE_SIZE)
        async with self._connected() as session, aclosing(_pages(session, size)) as runs:
            number = 0
            while number != limit and (run := await anext(runs, None)) is not None:
                number += 1
                yield run


def _check_id(name: str, value: str) -> None:
    """Refuse what can be no id, which services answer in several ways."""
    checked_segment(name, value)
    if re.fullmatch(PATH_PATTERNS[name], value) is None:
        raise ConfigurationError(
            f"{name}={value!r} is no id, which matches {PATH_PATTERNS[name]}: {_WHERE_IDS_ARE[name]}"
        )


async def _pages(session: ManagerSession, size: int) -> AsyncGenerator[models.RunSummary, None]:
    # A run that begins meanwhile pushes the others down, onto the next page.
    seen: set[str] = set()
    page = 0
    while True:
        page += 1
        answer = await session.list_runs(page, size)
        for run in answer.runs:
            if run.run_id not in seen:
                seen.add(run.run_id)
                yield run
        if not answer.runs or page * size >= answer.total:
            return
