"""The rules of a graph template that depend on registered nodes and on time (INVALID)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from exospherehost._rules import cron, schemas
from exospherehost._rules.model import GraphNodeSpec, GraphSpec, NodeSpec
from exospherehost._rules.placeholders import OutputReference, parse

_MOST_PROBLEMS = 1_000


def verify(graph: GraphSpec, registered: Mapping[tuple[str, str], NodeSpec], now: datetime) -> list[str]:
    """Return why an accepted template is INVALID; an empty list means VALID.

    At most 1,000 problems are listed: a node with very many fields could otherwise multiply them.

    Args:
        graph: A version that :func:`check_template` accepts.
        registered: The registered nodes that the graph uses, by name and namespace.
        now: The present time, with a zone: a cron expression must come due after it.
    """
    problems: dict[str, None] = {}
    for problem in _problems(graph, registered, now):
        if len(problems) == _MOST_PROBLEMS and problem not in problems:
            return [*problems, f"There are more than {_MOST_PROBLEMS:,} problems: correct these first"]
        problems[problem] = None
    return list(problems)


def _problems(graph: GraphSpec, registered: Mapping[tuple[str, str], NodeSpec], now: datetime) -> Iterator[str]:
    used = list(dict.fromkeys((node.node_name, node.namespace) for node in graph.nodes))
    for key in used:
        if key not in registered:
            yield f"{_registration(key)} is not registered: start a runtime that has it, or correct the name."
    secrets = frozenset(graph.secrets)
    for key in used:
        if key in registered:
            for secret in dict.fromkeys(registered[key].secrets):
                if secret not in secrets:
                    yield f"Secret '{secret}' is declared by {_registration(key)} but missing from the graph's secrets"
    nodes = {node.identifier: node for node in graph.nodes}
    for node in graph.nodes:
        yield from _node_inputs(node, nodes, registered)
    for expression in graph.crons:
        if cron.next_after(expression, now) is None:
            yield f"The cron expression {expression!r} never comes due: correct it or remove the trigger"


def _node_inputs(
    node: GraphNodeSpec,
    nodes: Mapping[str, GraphNodeSpec],
    registered: Mapping[tuple[str, str], NodeSpec],
) -> Iterator[str]:
    key = (node.node_name, node.namespace)
    if key not in registered:
        yield f"{_registration(key)} is not registered, but '{node.identifier}' uses it"
    else:
        for name, schema in schemas.fields(registered[key].inputs_schema).items():
            where = f"Input '{name}' of node '{node.identifier}'"
            problem = schemas.not_plain(schema)
            if problem is not None:
                yield f"{where} is not a plain string: {problem}"
            if name not in node.inputs:
                yield f"{where} is missing: the node declares it, so the graph must give it"
    for name, text in node.inputs.items():
        for reference in dict.fromkeys(parse(text).references):
            if isinstance(reference, OutputReference):
                source = nodes[reference.identifier]
                spec = registered.get((source.node_name, source.namespace))
                problem = None if spec is None else _output(reference.field, spec)
                if problem is not None:
                    yield (
                        f"Input '{name}' of node '{node.identifier}' refers to output '{reference.field}' of "
                        f"'{reference.identifier}', which {problem}"
                    )


def _output(field: str, spec: NodeSpec) -> str | None:
    outputs = schemas.fields(spec.outputs_schema)
    if field not in outputs:
        return "that node does not declare"
    problem = schemas.not_plain(outputs[field])
    return None if problem is None else f"is not a plain string: {problem}"


def _registration(key: tuple[str, str]) -> str:
    return f"Node '{key[0]}' in namespace '{key[1]}'"
