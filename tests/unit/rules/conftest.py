"""What the tests of the rules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from exospherehost._rules.model import GraphNodeSpec, GraphSpec, StoreSpec, TriggerSpec, UnitesSpec, UniteStrategy


@pytest.fixture
def make_graph() -> Callable[..., GraphSpec]:
    """Build a graph from few words.

    ``edges`` maps each identifier to its next nodes, separated by blanks; ``unites`` maps a uniter
    to what it unites, and ``all_done`` names the uniters of that strategy.
    """

    def build(
        edges: Mapping[str, str],
        *,
        unites: Mapping[str, str] | None = None,
        all_done: str = "",
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        namespaces: Mapping[str, str] | None = None,
        name: str = "g",
        namespace: str = "ns",
        secrets: tuple[str, ...] = (),
        store: StoreSpec | None = None,
        crons: tuple[str, ...] = (),
    ) -> GraphSpec:
        def united(identifier: str) -> UnitesSpec | None:
            if unites is None or identifier not in unites:
                return None
            done = identifier in all_done.split()
            strategy = UniteStrategy.ALL_DONE if done else UniteStrategy.ALL_SUCCESS
            return UnitesSpec(unites[identifier], strategy)

        nodes = tuple(
            GraphNodeSpec(
                node_name=f"N{identifier}",
                namespace=(namespaces or {}).get(identifier, namespace),
                identifier=identifier,
                inputs=(inputs or {}).get(identifier, {}),
                next_nodes=tuple(following.split()),
                unites=united(identifier),
            )
            for identifier, following in edges.items()
        )
        return GraphSpec(
            name=name,
            namespace=namespace,
            nodes=nodes,
            secrets=secrets,
            store=store or StoreSpec(),
            triggers=tuple(TriggerSpec(expression) for expression in crons),
        )

    return build
