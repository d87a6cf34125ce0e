"""A namespace on a state manager behind a proxy, and the line that it gives in the table of faults."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from exospherehost import BaseNode, Runtime
from exospherehost.server import ServerThread
from tests._support.command import Command
from tests._support.eventually import eventually
from tests._support.fault_ledger import Ledger, State, check_children, check_every_state_ended_once
from tests._support.fault_nodes import NODES, SECRET, noted
from tests._support.fault_proxy import FaultProxy
from tests._support.runtimes import KEY
from tests._support.service import Api, connect, registration

LEASE = 2.0
ENDS_WITHIN = 240.0
"""Seconds; long, because it is waited out only by a test that fails."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """A line of the fault table."""

    fault: str
    service: str
    states: int
    ended: str
    pending: str
    executions: int
    verdict: str

    def cells(self) -> str:
        counts = (self.fault, self.service, self.states, self.ended, self.pending, self.executions, self.verdict)
        return "| " + " | ".join(map(str, counts)) + " |"


class Place:
    """A namespace of a test's own on one of the services, behind a proxy.

    Args:
        kind: which of the services.
        server: the service.
        database: its file.
        proxy: stands before it.
        executions: the file that nodes note their executions in.
        record: takes the line for the table.
    """

    def __init__(
        self,
        kind: str,
        server: ServerThread,
        database: Path,
        proxy: FaultProxy,
        executions: Path,
        record: Callable[[Row], None],
    ) -> None:
        self.kind = kind
        self.is_exact = kind == "exact"
        self.proxy = proxy
        self.namespace = f"faults-{next(_numbers)}"
        self.ledger = Ledger(database, self.namespace)
        self._executions = executions
        self._record = record
        self._http: httpx.Client = connect(server)
        self.api = Api(self._http, self.namespace)
        self._put_graphs()

    def close(self) -> None:
        self._http.close()

    def runtime(self, *nodes: Any, **options: Any) -> Runtime:
        """A runtime that reaches the service through the proxy."""
        arguments: dict[str, Any] = {"poll_interval": 0.1, "grace_period": 10, "lease": LEASE, **options}
        return Runtime(self.namespace, "runtime", list(nodes or NODES), self.proxy.uri, KEY, **arguments)

    def put_graphs(self, *nodes: type[BaseNode], **sections: Any) -> None:
        """Put a graph for each node, named as it is, of one state that is not tried again."""
        policy = {"max_retries": 0}
        for node in nodes:
            self.api.register(registration(node.__name__, outputs=["text"], secrets=list(node.Secrets.model_fields)))
            entry = self.api.node("only", node=node.__name__)
            self.api.graph(node.__name__, entry, retry_policy=policy, **sections)

    def program(self, **options: Any) -> Command:
        """Start a runtime in a process of its own, with its nodes; a context manager."""
        arguments = {"poll_interval": 0.1, "grace_period": 10, "lease": LEASE, **options}
        return Command(
            self.namespace,
            self.proxy.uri,
            json.dumps(arguments),
            folder=Path(__file__).parents[2],
            command=(sys.executable, "-W", "error", "-m", "tests._support.fault_program"),
        )

    async def trigger(self, **runs: int) -> None:
        """Start runs of graphs, straight at the service: `trigger(single=3)`."""

        def start() -> None:
            for graph, count in runs.items():
                for _ in range(count):
                    self.api.trigger(graph)

        await asyncio.to_thread(start)

    async def ended(self, stranded: Callable[[], Collection[str]] = tuple) -> list[State]:
        """Wait until every state has ended but those that nobody can know of."""
        await eventually(lambda: self.ledger.has_ended(stranded()), ENDS_WITHIN)
        return self.ledger.states()

    async def ends_exactly_once(self, fault: str) -> list[State]:
        """Wait for the end, assert that everything succeeded once, and record the line."""
        states = await self.ended()
        check_every_state_ended_once(states)
        # No node of these fails: only a lease that has run out may have cost an attempt.
        errors = {state.error for state in states if state.status == "RETRY_CREATED"}
        assert errors <= ({"lease expired"} if self.is_exact else set())
        self.record(fault, "exactly once")
        return states

    async def ends_but_for_lost_claims(self, fault: str) -> None:
        """Likewise, where states stay QUEUED that the service gave to claims whose answers were lost."""
        states = await self.ended(self.proxy.lost_claims)
        lost = self.proxy.lost_claims()
        assert {state.state_id for state in states if state.status == "QUEUED"} == lost
        assert {state.status for state in states if state.state_id not in lost} == {"SUCCESS"}
        check_children(states)
        self.record(fault, f"at least once; the {len(lost)} QUEUED are those of lost claim answers")

    def executions(self) -> list[str]:
        """List the ids of the states that nodes have executed, each as often as that was."""
        return noted(self._executions)

    def record(self, fault: str, verdict: str) -> None:
        """Add a line to the table."""
        states = self.ledger.states()
        ended = Counter(state.status for state in states)
        pending = {status: ended.pop(status) for status in ("CREATED", "QUEUED", "EXECUTED") if status in ended}
        row = Row(fault, self.kind, len(states), _spelled(ended), _spelled(pending), len(self.executions()), verdict)
        self._record(row)

    def _put_graphs(self) -> None:
        text = ["text"]
        self.api.register(
            *(registration(name, outputs=text) for name in ("Single", "First", "Fan")),
            *(registration(name, inputs=text, outputs=text) for name in ("Second", "Leaf")),
            registration("WithSecret", outputs=text, secrets=["token"]),
        )
        node = self.api.node
        # Retries soon and often, since a lease that runs out uses one up.
        retry_policy = {"max_retries": 50, "strategy": "FIXED", "backoff_factor": 20}
        self.api.graph("single", node("single", node="Single"), retry_policy=retry_policy)
        self.api.graph(
            "chain",
            node("first", node="First", next_nodes=["second"]),
            node("second", {"text": "${{first.outputs.text}}"}, node="Second"),
            retry_policy=retry_policy,
        )
        self.api.graph(
            "fan",
            node("fan", node="Fan", next_nodes=["leaf"]),
            node("leaf", {"text": "${{fan.outputs.text}}"}, node="Leaf"),
            retry_policy=retry_policy,
        )
        self.api.graph(
            "secret", node("secret", node="WithSecret"), secrets={"token": SECRET}, retry_policy=retry_policy
        )


def _spelled(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "0"
