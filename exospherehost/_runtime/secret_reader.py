"""Reads the secrets that states need, and not more often than is of use."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from exospherehost._runtime.own_tasks import start_own_task
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.models import ClaimedState

FRESH_SECONDS = 1.0
"""How long secrets that have been read serve other states of the same run and node."""

_MOST_KEPT = 1_000

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Read:
    began: float
    reading: asyncio.Task[dict[str, str]]


class SecretReader:
    """Reads secrets, once a second for each run and node where the service says which run a state is of.

    A graph's secrets are the same for all its states (contract, section 12), and a run is of one graph: of
    the graph's name alone there may be one in each namespace. A state that is tried again has them read anew,
    since they may be why it failed.

    Args:
        session: carries the requests.
    """

    def __init__(self, session: RuntimeSession) -> None:
        self._session = session
        self._reads: dict[_Key, _Read] = {}

    async def read(self, state: ClaimedState) -> dict[str, str]:
        """Return the secrets for a state.

        Raises:
            APIError: they could not be read.
        """
        if state.run_id is None or (state.attempt or 1) > 1:
            return await self._session.get_secrets(state.state_id)
        key = state.run_id, state.node_name
        now = time.monotonic()
        known = self._reads.get(key)
        if known is None or now - known.began > FRESH_SECONDS or _has_failed(known.reading):
            if len(self._reads) >= _MOST_KEPT:
                self._reads.clear()
            known = _Read(now, start_own_task(self._session.get_secrets(state.state_id), "secrets"))
            self._reads[key] = known
        # Several states wait for one reading: one that is cancelled must not end it for the others.
        return await asyncio.shield(known.reading)


def _has_failed(reading: asyncio.Task[dict[str, str]]) -> bool:
    return reading.done() and (reading.cancelled() or reading.exception() is not None)
