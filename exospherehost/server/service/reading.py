"""Reading runs, states and secrets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from exospherehost._rules.model import Status
from exospherehost._rules.transitions import STATE_NOT_FOUND
from exospherehost.server.domain.errors import KeysUnreadable, ServiceError, Undecryptable
from exospherehost.server.domain.records import RunListing, RunRecord, StateOutline, StateRecord
from exospherehost.server.domain.store import Reader
from exospherehost.server.service.context import Context
from exospherehost.server.service.graphs import keys_unreadable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of runs, and how many there are in all."""

    total: int
    runs: Sequence[RunListing]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's states in the order of creation, and the edges between them (source, target).

    ``cancelled_at`` is when it was cancelled, in epoch milliseconds; None if it was not.
    """

    graph_name: str
    states: Sequence[StateOutline]
    edges: Sequence[tuple[str, str]]
    cancelled_at: int | None = None


@dataclass(frozen=True, slots=True)
class StateView:
    """A state and its run."""

    state: StateRecord
    run: RunRecord


def run_status(run: RunListing) -> str:
    """Return a run's status as its states stand."""
    if run.cancelled_at is not None:
        return "FAILED"
    if run.counts.pending:
        return "PENDING"
    return "FAILED" if run.counts.errored or not run.counts.total else "SUCCESS"


def list_runs(reader: Reader, namespace: str, page: int, size: int) -> RunPage:
    """Return one page of a namespace's runs, newest first; pages count from 1."""
    total, runs = reader.list_runs(namespace, offset=(page - 1) * size, limit=size)
    return RunPage(total, runs)


def run_graph(reader: Reader, namespace: str, run_id: str) -> RunView:
    """Return a run's states: all in the run's own namespace, in another those that are claimed there."""
    run = reader.find_run(run_id)
    if run is None:
        return RunView("", (), ())
    states = reader.list_states(run.key, namespace=None if run.namespace == namespace else namespace)
    if not states:
        return RunView("", (), ())
    present = {state.id for state in states}
    edges = [
        (source, state.id)
        for state in states
        # The last parent; a run of several namespaces shows a part of itself in each.
        if (source := next(reversed(list(state.parents.values())), None)) is not None and source in present
    ]
    return RunView(run.graph_name, states, edges, run.cancelled_at)


def state_in_run(reader: Reader, namespace: str, graph_name: str, run_id: str, state_id: str) -> StateView:
    """Return a state, all parts of whose address must be right; the namespace may be its own or its run's.

    Raises:
        ServiceError: There is no such state (404).
    """
    state = reader.find_state(state_id)
    if state is not None:
        run = reader.get_run(state.run_key)
        if (run.id, run.graph_name) == (run_id, graph_name) and namespace in (state.namespace, run.namespace):
            return StateView(state, run)
    raise _not_found()


def secrets_of_state(reader: Reader, context: Context, namespace: str, state_id: str) -> dict[str, str]:
    """Return, in clear, those secrets of a state's graph that its node declared when the graph was put.

    Only while the state is held by a claim. Values are those of the graph's last valid version, so that one can be
    replaced while runs go on; what that version no longer has comes from the version that the run was triggered with.

    Raises:
        ServiceError: The state is unknown here, is not QUEUED, or a secret cannot be decrypted (404); or the secrets
            keys cannot be read (503).
    """
    state = reader.find_state(state_id)
    if state is None or state.namespace != namespace:
        raise _not_found()
    if state.status != Status.QUEUED:
        raise ServiceError(404, f"The state is {state.status}: only a claimed state is given secrets")
    node = reader.find_nodes([(state.node_name, state.namespace)]).get((state.node_name, state.namespace))
    if node is None or not node.secrets:
        return {}
    run = reader.get_run(state.run_key)
    version = context.versions.get(reader, run.version_id)
    names = [name for name in node.secrets if version.grants(node, name)]
    sealed = dict(version.sealed_secrets)
    graph = reader.find_graph(run.namespace, run.graph_name)
    if graph is not None and graph.valid_version_id is not None:
        sealed |= context.versions.get(reader, graph.valid_version_id).sealed_secrets
    try:
        return {name: context.secret_box.open(sealed[name]) for name in names if name in sealed}
    except KeysUnreadable as error:
        raise keys_unreadable() from error
    except Undecryptable as error:
        logger.error(  # noqa: TRY400 - the trace adds nothing
            "event=secret_undecryptable namespace=%s graph=%s", run.namespace, run.graph_name
        )
        raise ServiceError(404, "The secrets cannot be read: they were stored under another key") from error


def _not_found() -> ServiceError:
    return ServiceError(STATE_NOT_FOUND.status_code, STATE_NOT_FOUND.detail)
