"""Triggers the planned runs, each until it is known to be there, and mends what an operator has to mend."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from exospherehost import ExosphereError, StateManager
from tests.chaos.fleet import ChaosError
from tests.chaos.plan import MEND, NAMESPACE, PlannedRun, graphs

AHEAD = 3_000
_AT_ONCE = 8
_PAUSE = 0.1
_MOST_FAILURES = 600


class Feeder:
    """Starts runs, never far ahead of what has been executed.

    Args:
        uris: the services, separated by commas.
        key: the API key.
        runs: what to start.
        mended: the folder that tells nodes what has been mended.
        executed: tells how many executions there have been.
    """

    def __init__(
        self, uris: str, key: str, runs: Sequence[PlannedRun], mended: Path, executed: Callable[[], int]
    ) -> None:
        self._uris = uris
        self._key = key
        self._runs = iter(runs)
        self._mended = mended
        self._executed = executed
        self._started = 0
        self._to_mend: list[str] = []
        self.ahead = AHEAD
        """How many executions' worth may be started beyond those that there have been."""

        self.limit: float = math.inf
        """How many may be started at all, for the time being."""

        self.repeated = 0
        """How many triggers had to be sent again by the feeder, beyond what the SDK repeats by itself."""

    async def put_graphs(self) -> None:
        """Put every graph, as soon as its nodes are registered."""
        for name, body in graphs().items():
            for failures in itertools.count(1):
                answer = await self._send("PUT", f"/graph/{name}", body)
                if answer.status_code == 201 and answer.json()["validation_status"] == "VALID":
                    break
                if failures == _MOST_FAILURES:
                    raise ChaosError(f"the graph {name} is not taken: {answer.status_code} {answer.text}")
                await asyncio.sleep(_PAUSE)

    async def run(self) -> None:
        """Trigger all, then mend until nothing is left to mend."""
        async with StateManager(NAMESPACE, self._uris, self._key) as manager, asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._trigger_all(manager))
        await self._mend_all()

    async def _trigger_all(self, manager: StateManager) -> None:
        for run in self._runs:
            # What is waited for is the work of other processes.
            while self._started > min(self._executed() + self.ahead, self.limit):  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE)
            self._started += run.executions
            run_id = await self._trigger(manager, run)
            if run.graph == MEND:
                self._to_mend.append(run_id)

    async def _trigger(self, manager: StateManager, run: PlannedRun) -> str:
        """Trigger a run, and again until it is known to be there."""
        for failures in itertools.count(1):
            try:
                answer = await manager.trigger(
                    run.graph, inputs={"text": run.text}, store=dict(run.store), idempotency_key=run.key
                )
            except ExosphereError as error:
                if failures == _MOST_FAILURES:
                    raise ChaosError(f"the trigger {run.key} never succeeded: {error}") from error
                self.repeated += 1
                await asyncio.sleep(_PAUSE)
            else:
                return str(answer["run_id"])
        raise AssertionError("unreachable")

    async def _mend_all(self) -> None:
        """Mend each failed run, and retry its failed state, as often as it takes until the run succeeds."""
        numbers = itertools.count(1)
        while self._to_mend:
            for run_id in list(self._to_mend):
                answer = await self._send("GET", f"/states/run/{run_id}/graph")
                summary = answer.json()["execution_summary"] if answer.is_success else {}
                if summary.get("SUCCESS"):
                    self._to_mend.remove(run_id)
                elif summary.get("ERRORED"):
                    (self._mended / run_id).touch()
                    failed = next(node["id"] for node in answer.json()["nodes"] if node["status"] == "ERRORED")
                    await self._send("POST", f"/state/{failed}/manual-retry", {"fanout_id": f"mended-{next(numbers)}"})
            await asyncio.sleep(_PAUSE)

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request that may be sent twice, until some server answers it."""
        uris = itertools.cycle(self._uris.split(","))
        for failures in itertools.count(1):
            try:
                async with httpx.AsyncClient(headers={"x-api-key": self._key}, trust_env=False, timeout=30) as http:
                    return await http.request(method, f"{next(uris)}/v0/namespace/{NAMESPACE}{path}", json=body)
            except httpx.TransportError as error:
                if failures == _MOST_FAILURES:
                    raise ChaosError(f"nobody answers {method} {path}: {error!r}") from error
                await asyncio.sleep(_PAUSE)
        raise AssertionError("unreachable")
