"""The forms that a trigger can be given in, and can be sent in."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches

from exospherehost._config import LONGEST_NAME
from exospherehost._errors import APIError, InvalidTriggerError, UnsupportedByServerError
from exospherehost._graphs.models import TriggerState
from exospherehost._graphs.user_texts import expanded_inputs
from exospherehost._transport.manager_session import ManagerSession
from exospherehost._transport.retry import Backoff
from exospherehost_client import models
from exospherehost_client.limits import IDEMPOTENCY_KEY_MAX_LENGTH, IDEMPOTENCY_KEY_MIN_LENGTH

ROOT_CACHE_SECONDS = 60.0

_ONCE = Backoff(attempts=1)


class RootCache:
    """Knows the nodes of graphs for a minute: where a run begins, and which inputs it takes there."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, list[models.GraphNodeDetail]]] = {}

    def forget(self, graph_name: str) -> None:
        """Read a graph again at the next use."""
        self._found.pop(graph_name, None)

    async def learn(self, session: ManagerSession, graph_name: str) -> bool:
        """Read a graph unless it is known, before anything depends on which service is in use.

        Returns:
            Whether it was known. A graph that cannot be read stays unknown, and is not checked.
        """
        if self._known(graph_name) is not None:
            return True
        with suppress(APIError):
            # What ails the service, or the graph, shows when the trigger is sent.
            await self._nodes(session, graph_name, _ONCE)
        return False

    async def check_names(
        self,
        session: ManagerSession,
        graph_name: str,
        inputs: Mapping[str, str],
        entries: Sequence[TriggerState] | None,
        *,
        may_be_stale: bool,
    ) -> None:
        """Refuse inputs that the graph's nodes do not have, which the service would drop without a word.

        Args:
            session: carries the requests.
            graph_name: the graph.
            inputs: inputs of the root.
            entries: states to begin with, in place of them.
            may_be_stale: read the graph anew before anything is refused.

        Raises:
            InvalidTriggerError: names the input and the nearest one.
        """
        problems = self._unknown_names(graph_name, inputs, entries)
        if problems and may_be_stale:
            self.forget(graph_name)
            await self.learn(session, graph_name)
            problems = self._unknown_names(graph_name, inputs, entries)
        if problems:
            raise InvalidTriggerError(f"nothing was sent: {'; '.join(problems)}")

    def _unknown_names(
        self, graph_name: str, inputs: Mapping[str, str], entries: Sequence[TriggerState] | None
    ) -> list[str]:
        nodes = self._known(graph_name) or []
        if entries is None:
            roots = _roots(nodes)
            given = [(roots[0], inputs)] if len(roots) == 1 else []
        else:
            by_identifier = {node.identifier: node for node in nodes}
            given = [
                (by_identifier[entry.identifier], entry.inputs)
                for entry in entries
                if entry.identifier in by_identifier
            ]
        return [
            _unknown_name(graph_name, node, name) for node, names in given for name in names if name not in node.inputs
        ]

    async def as_inputs(
        self, session: ManagerSession, graph_name: str, entries: Sequence[TriggerState]
    ) -> dict[str, str]:
        """Turn a single entry into inputs of the root, where nothing of it gets lost by that.

        Raises:
            UnsupportedByServerError: something would get lost.
        """
        root = await self._root(session, graph_name)
        remedy = (
            f"the root of graph {graph_name!r} is {root.identifier!r} with the inputs {sorted(root.inputs)}; give one "
            "state there with only these, or use a service with the extension trigger-states"
        )
        if len(entries) > 1:
            raise UnsupportedByServerError(f"this service begins a run with one state, not {len(entries)}: {remedy}")
        entry = entries[0]
        if entry.identifier != root.identifier:
            raise UnsupportedByServerError(f"this service cannot begin a run at {entry.identifier!r}: {remedy}")
        unknown = sorted(entry.inputs.keys() - root.inputs.keys())
        if unknown:
            raise UnsupportedByServerError(f"this service would drop the inputs {unknown}: {remedy}")
        return entry.inputs

    async def _root(self, session: ManagerSession, graph_name: str) -> models.GraphNodeDetail:
        roots = _roots(await self._nodes(session, graph_name))
        if len(roots) != 1:
            raise UnsupportedByServerError(f"graph {graph_name!r} has {len(roots)} roots, so no state can be placed")
        return roots[0]

    async def _nodes(
        self, session: ManagerSession, graph_name: str, backoff: Backoff | None = None
    ) -> list[models.GraphNodeDetail]:
        known = self._known(graph_name)
        if known is None:
            known = (await session.get_graph(graph_name, backoff=backoff)).parsed.nodes
            self._found[graph_name] = time.monotonic(), known
        return known

    def _known(self, graph_name: str) -> list[models.GraphNodeDetail] | None:
        cached = self._found.get(graph_name)
        return None if cached is None or time.monotonic() - cached[0] >= ROOT_CACHE_SECONDS else cached[1]


def _roots(nodes: Sequence[models.GraphNodeDetail]) -> list[models.GraphNodeDetail]:
    followers = {name for node in nodes for name in node.next_nodes or ()}
    return [node for node in nodes if node.identifier not in followers and node.unites is None]


def _unknown_name(graph_name: str, node: models.GraphNodeDetail, name: str) -> str:
    nearest = get_close_matches(name[:LONGEST_NAME], node.inputs, n=1)
    known = ", ".join(sorted(node.inputs)) or "no inputs"
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"it has {known}"
    return f"node {node.identifier!r} of graph {graph_name!r} has no input {name!r}: {remedy}"


def check_texts(
    inputs: Mapping[str, str] | None, entries: Sequence[TriggerState] | None, store: Mapping[str, str] | None
) -> None:
    """Refuse texts in which the service would expand what was meant as text.

    Raises:
        InvalidTriggerError: names the inputs.
    """
    for values in [inputs or {}] if entries is None else [entry.inputs for entry in entries]:
        texts = {name: text for name, text in values.items() if isinstance(text, str)}
        if names := expanded_inputs(texts, store or {}):
            raise InvalidTriggerError(
                f"nothing was sent: the service would expand '${{{{' in the input {', '.join(map(repr, names))}; pass "
                "the text as a value of store=, which stays as it is, and '${{store.KEY}}' as the input"
            )


def published_form(
    state: TriggerState | Mapping[str, str] | None,
    states: Sequence[TriggerState] | Mapping[str, str] | None,
    published: Sequence[int],
    inputs: Mapping[str, str] | None,
    store: Mapping[str, str] | None,
    start_delay: int,
) -> tuple[TriggerState | None, Sequence[TriggerState] | None, Mapping[str, str] | None, Mapping[str, str] | None, int]:
    """Read the positional call of 0.0.3, where inputs came second, store third and start_delay fourth."""
    if not isinstance(state, Mapping) and not isinstance(states, Mapping) and not published:
        return state, states, inputs, store, start_delay
    warnings.warn(
        "trigger(graph, inputs, store, start_delay) is deprecated; "
        "use trigger(graph, inputs=..., store=..., start_delay=...)",
        DeprecationWarning,
        stacklevel=3,
    )
    if isinstance(state, TriggerState) or (states is not None and not isinstance(states, Mapping)):
        raise InvalidTriggerError("trigger got trigger states together with a mapping; pass state= or inputs=")
    if len(published) > 1:
        raise InvalidTriggerError("trigger takes four positional arguments; pass the others by name")
    is_twice = (
        (state is not None and inputs is not None)
        or (states is not None and store is not None)
        or (published and start_delay != 0)
    )
    if is_twice:
        raise InvalidTriggerError("trigger got an argument twice, by position and by name; pass it by name")
    return (
        None,
        None,
        state if state is not None else inputs,
        states if states is not None else store,
        published[0] if published else start_delay,
    )


def entries_of(
    state: TriggerState | None,
    states: Sequence[TriggerState] | None,
    inputs: Mapping[str, str] | None,
    *,
    has_other_arguments: bool = False,
) -> list[TriggerState] | None:
    """Check that exactly one form was given; return its trigger states, or None for inputs.

    A store or a start delay alone is the form of 0.0.3 without inputs.
    """
    if state is not None and states is not None:
        raise InvalidTriggerError("trigger got both state and states; pass one of them")
    if inputs is not None:
        if state is not None or states is not None:
            raise InvalidTriggerError("trigger got both trigger states and inputs; pass one of them")
        return None
    if state is None and states is None and has_other_arguments:
        return None
    if state is None and states is None:
        raise InvalidTriggerError("trigger got neither trigger states nor inputs; pass inputs={} for none")
    if isinstance(states, TriggerState):
        raise InvalidTriggerError("trigger got one TriggerState as states; pass it as state=, or states=[...]")
    entries = [state] if state is not None else list(states or ())
    if not entries:
        raise InvalidTriggerError("trigger got an empty list of states; pass at least one, or inputs={}")
    for entry in entries:
        if not isinstance(entry, TriggerState):
            raise InvalidTriggerError(f"trigger got a {type(entry).__name__} in place of a TriggerState")
    return entries


def check_key(key: str | None) -> None:
    if key is not None and not (
        isinstance(key, str)
        and IDEMPOTENCY_KEY_MIN_LENGTH <= len(key) <= IDEMPOTENCY_KEY_MAX_LENGTH
        and key.isascii()
        and key.isprintable()
    ):
        raise InvalidTriggerError(
            f"idempotency_key={key!r} cannot be sent: use "
            f"{IDEMPOTENCY_KEY_MIN_LENGTH} to {IDEMPOTENCY_KEY_MAX_LENGTH} printable ASCII letters, such as a UUID"
        )
