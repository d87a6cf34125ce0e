# written by scripts/sync_face.py from state_manager.py and run_operations.py; do not edit
"""Every operation of the state manager, without `await`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Generator, Mapping, Sequence
from typing import Any, TypeVar

from exospherehost._graphs.models import CronTrigger, GraphNodeModel, RetryPolicyModel, StoreConfigModel, TriggerState
from exospherehost._state_manager.runs import Run, Transition
from exospherehost._state_manager.state_manager import Json, StateManager
from exospherehost._state_manager.task_iterator import TaskIterator
from exospherehost_client import models

T = TypeVar("T")


class SyncOperations(ABC):
    """The methods of `StateManager`, without `await`; see :class:`exospherehost.SyncStateManager`."""

    _manager: StateManager

    @abstractmethod
    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for what a coroutine returns."""

    @abstractmethod
    def _each(self, items: TaskIterator[T]) -> Generator[T, None, None]:
        """Iterate over what an asynchronous iterator yields."""

    def trigger(
        self,
        graph_name: str,
        state: TriggerState | None = None,
        states: Sequence[TriggerState] | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        store: Mapping[str, str] | None = None,
        start_delay: int = 0,
        idempotency_key: str | None = None,
    ) -> Json:
        """Start a run of a graph; see `StateManager.trigger`."""
        return self._call(
            self._manager.trigger(
                graph_name,
                state,
                states,
                inputs=inputs,
                store=store,
                start_delay=start_delay,
                idempotency_key=idempotency_key,
            )
        )

    def get_graph(self, graph_name: str) -> Json:
        """Read a graph template and its validation status; see `StateManager.get_graph`."""
        return self._call(self._manager.get_graph(graph_name))

    def upsert_graph(
        self,
        graph_name: str,
        graph_nodes: Sequence[GraphNodeModel],
        secrets: Mapping[str, str],
        retry_policy: RetryPolicyModel | None = None,
        store_config: StoreConfigModel | None = None,
        triggers: Sequence[CronTrigger] | None = None,
        validation_timeout: float = 60,
        polling_interval: float = 1,
    ) -> Json:
        """Create a graph template, or replace it, and wait until it is verified; see `StateManager.upsert_graph`."""
        return self._call(
            self._manager.upsert_graph(
                graph_name,
                graph_nodes,
                secrets,
                retry_policy,
                store_config,
                triggers,
                validation_timeout,
                polling_interval,
            )
        )

    def list_graphs(self) -> list[models.GraphListItem]:
        """Read all graph templates of the namespace, with their validation status; see `StateManager.list_graphs`."""
        return self._call(self._manager.list_graphs())

    def delete_graph(self, graph_name: str) -> models.DeleteGraphResponse:
        """Delete a graph template: its schedules end, and its running runs as by `cancel`.

        See `StateManager.delete_graph`.
        """
        return self._call(self._manager.delete_graph(graph_name))

    def list_nodes(self) -> list[models.RegisteredNode]:
        """Read all nodes that runtimes have registered in the namespace, with their schemas.

        See `StateManager.list_nodes`.
        """
        return self._call(self._manager.list_nodes())

    def get_run(self, run_id: str) -> Run:
        """Read a run: its status, and all its states; see `StateManager.get_run`."""
        return self._call(self._manager.get_run(run_id))

    def list_runs(self, *, limit: int | None = None) -> Generator[models.RunSummary, None, None]:
        """Iterate over the runs of the namespace, newest first; pages are read as they are needed.

        See `StateManager.list_runs`.
        """
        return self._each(self._manager.list_runs(limit=limit))

    def get_state(self, state_id: str, *, run_id: str, graph_name: str) -> models.StateDetail:
        """Read one state in full: its inputs, outputs, error and parents; see `StateManager.get_state`."""
        return self._call(self._manager.get_state(state_id, run_id=run_id, graph_name=graph_name))

    def watch(self, run_id: str, *, last_event_id: str | None = None) -> Generator[Transition, None, None]:
        """Iterate over the transitions of a run's states, those that have been and those to come, to its end.

        See `StateManager.watch`.
        """
        return self._each(self._manager.watch(run_id, last_event_id=last_event_id))

    def wait(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Wait until a run has ended, well or not, and return it; see `StateManager.wait`."""
        return self._call(self._manager.wait(run_id, timeout=timeout))

    def retry(self, state_id: str, *, fanout_id: str | None = None) -> models.ManualRetryResponse:
        """Execute a state again: a new state takes its place, with all its retries before it.

        See `StateManager.retry`.
        """
        return self._call(self._manager.retry(state_id, fanout_id=fanout_id))

    def cancel(self, run_id: str) -> models.CancelRunResponse:
        """End a run: its waiting and running states are pruned, and nothing more is made; see `StateManager.cancel`."""
        return self._call(self._manager.cancel(run_id))
