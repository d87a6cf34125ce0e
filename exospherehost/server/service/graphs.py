"""Graph templates: put, read, listed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from exospherehost._rules import cron, graph_check
from exospherehost._rules.model import GraphSpec
from exospherehost.server.domain.clock import as_datetime, as_epoch_ms
from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.domain.records import GraphRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.service.context import Context, granted_secrets, node_spec

logger = logging.getLogger(__name__)


def graph_not_found(namespace: str, name: str) -> ServiceError:
    """Return the refusal for a graph that does not exist."""
    return ServiceError(404, f"Graph template '{name}' not found in namespace '{namespace}'")


def check(graph: GraphSpec, secrets: Mapping[str, str], *, strict: bool) -> None:
    """Check a graph as far as its text alone allows, before anything is stored.

    Args:
        graph: The graph to be put.
        secrets: Its secrets, in clear.
        strict: Refuse, rather than warn of, what the hosted service would refuse or treat otherwise.

    Raises:
        ServiceError: The graph is refused (400), with every reason of the first kind that applies.
    """
    empty = [name for name, value in secrets.items() if not value]
    problems = graph_check.check_template(graph, empty_secrets=empty)
    if problems:
        raise ServiceError(400, "Error validating graph template:\n" + "\n".join(problems))
    differences = graph_check.hosted_differences(graph)
    if differences and strict:
        raise ServiceError(400, "Not as on the hosted service (strict mode):\n" + "\n".join(differences))
    for difference in differences:
        logger.warning(
            "event=hosted_difference namespace=%s graph=%s difference=%s", graph.namespace, graph.name, difference
        )


def put(unit: UnitOfWork, context: Context, graph: GraphSpec, secrets: Mapping[str, str]) -> GraphRecord:
    """Store a graph that passed :func:`check`, verified against the nodes registered now.

    A graph that turns out INVALID is stored as the latest version, while runs go on with the one that they were
    triggered with.

    Args:
        unit: The unit of work.
        context: The server's context.
        graph: The graph.
        secrets: Its secrets, in clear.
    """
    now_ms = context.clock.now_ms()
    now = as_datetime(now_ms)
    found = unit.find_nodes({(node.node_name, node.namespace) for node in graph.nodes})
    errors = graph_check.verify(graph, {key: node_spec(node) for key, node in found.items()}, now)
    stored = unit.save_version(
        graph_id=context.ids.new_id(),
        version_id=context.ids.new_id(),
        namespace=graph.namespace,
        name=graph.name,
        document=graph.to_json() | granted_secrets(found.values()),
        # Sealed within the unit: one that follows a rotation of the key uses the new one.
        secrets=context.secret_box.seal_all(secrets),
        errors=errors,
        now_ms=now_ms,
    )
    due = {expression: cron.next_after(expression, now) for expression in graph.crons} if not errors else {}
    unit.set_crons(stored.key, {expression: as_epoch_ms(at) for expression, at in due.items() if at is not None})
    return stored


def get(reader: Reader, namespace: str, name: str) -> GraphRecord:
    """Return a graph as it was last put.

    Raises:
        ServiceError: It does not exist (404).
    """
    graph = reader.find_graph(namespace, name)
    if graph is None:
        raise graph_not_found(namespace, name)
    return graph
