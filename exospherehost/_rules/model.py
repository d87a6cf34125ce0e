"""What the rules reason about: frozen values with no tie to storage or wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a state is in its life."""

    CREATED = "CREATED"
    QUEUED = "QUEUED"
    EXECUTED = "EXECUTED"
    ERRORED = "ERRORED"
    NEXT_CREATED_ERROR = "NEXT_CREATED_ERROR"
    SUCCESS = "SUCCESS"
    PRUNED = "PRUNED"
    RETRY_CREATED = "RETRY_CREATED"


PENDING = frozenset({Status.CREATED, Status.QUEUED, Status.EXECUTED})
SUCCESSFUL = frozenset({Status.SUCCESS, Status.PRUNED})
FAILED = frozenset({Status.ERRORED, Status.NEXT_CREATED_ERROR})
TERMINAL = frozenset(Status) - PENDING


class UniteStrategy(StrEnum):
    """What a uniting node asks of the states under the united one."""

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"


class RetryStrategy(StrEnum):
    """How the delay before a retry grows and how it is spread."""

    EXPONENTIAL = "EXPONENTIAL"
    EXPONENTIAL_FULL_JITTER = "EXPONENTIAL_FULL_JITTER"
    EXPONENTIAL_EQUAL_JITTER = "EXPONENTIAL_EQUAL_JITTER"
    LINEAR = "LINEAR"
    LINEAR_FULL_JITTER = "LINEAR_FULL_JITTER"
    LINEAR_EQUAL_JITTER = "LINEAR_EQUAL_JITTER"
    FIXED = "FIXED"
    FIXED_FULL_JITTER = "FIXED_FULL_JITTER"
    FIXED_EQUAL_JITTER = "FIXED_EQUAL_JITTER"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that turns a request down: HTTP status code and detail."""

    status_code: int
    detail: str


class Refused(Exception):
    """Raised where a rule turns a request down.

    Args:
        status_code: The HTTP status code to answer with.
        detail: What is wrong and what to do about it.
    """

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(status_code, detail)
        self.refusal = Refusal(status_code, detail)

    def __str__(self) -> str:
        return self.refusal.detail

    @property
    def status_code(self) -> int:
        """The HTTP status code to answer with."""
        return self.refusal.status_code

    @property
    def detail(self) -> str:
        """What is wrong and what to do about it."""
        return self.refusal.detail


@dataclass(frozen=True, slots=True)
class FieldIssue:
    """One line of a 422 answer: where the body is wrong, and how."""

    type: str
    loc: tuple[str | int, ...]
    msg: str
    input: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the issue as it goes over the wire."""
        return {"type": self.type, "loc": list(self.loc), "msg": self.msg, "input": self.input}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node as a runtime registered it."""

    name: str
    namespace: str
    inputs_schema: Mapping[str, Any]
    outputs_schema: Mapping[str, Any]
    secrets: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the node as a JSON document."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "inputs_schema": dict(self.inputs_schema),
            "outputs_schema": dict(self.outputs_schema),
            "secrets": list(self.secrets),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NodeSpec:
        """Read what :meth:`to_json` wrote."""
        return cls(
            name=document["name"],
            namespace=document["namespace"],
            inputs_schema=document["inputs_schema"],
            outputs_schema=document["outputs_schema"],
            secrets=tuple(document["secrets"]),
        )


@dataclass(frozen=True, slots=True)
class UnitesSpec:
    """Which node a uniting node unites, and when it may start."""

    identifier: str
    strategy: UniteStrategy = UniteStrategy.ALL_SUCCESS

    def to_json(self) -> dict[str, Any]:
        """Return the setting as a JSON document."""
        return {"identifier": self.identifier, "strategy": self.strategy.value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> UnitesSpec:
        """Read what :meth:`to_json` wrote, or the same part of a request."""
        strategy = document.get("strategy") or UniteStrategy.ALL_SUCCESS
        return cls(document["identifier"], UniteStrategy(strategy))


@dataclass(frozen=True, slots=True)
class GraphNodeSpec:
    """One place in a graph: which node runs there, on what, and what follows."""

    node_name: str
    namespace: str
    identifier: str
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    next_nodes: tuple[str, ...] = ()
    unites: UnitesSpec | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the node as a JSON document with all six keys."""
        return {
            "node_name": self.node_name,
            "namespace": self.namespace,
            "identifier": self.identifier,
            "inputs": dict(self.inputs),
            "next_nodes": list(self.next_nodes),
            "unites": None if self.unites is None else self.unites.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GraphNodeSpec:
        """Read what :meth:`to_json` wrote, or the same part of a request."""
        unites = document.get("unites")
        return cls(
            node_name=document["node_name"],
            namespace=document["namespace"],
            identifier=document["identifier"],
            inputs=document["inputs"],
            next_nodes=tuple(document.get("next_nodes") or ()),
            unites=None if unites is None else UnitesSpec.from_json(unites),
        )

    def trimmed(self) -> GraphNodeSpec:
        """Return the node with the blanks around its names taken off; inputs stay as they are."""
        return GraphNodeSpec(
            node_name=self.node_name.strip(),
            namespace=self.namespace,
            identifier=self.identifier.strip(),
            inputs=self.inputs,
            next_nodes=tuple(entry.strip() for entry in self.next_nodes),
            unites=None if self.unites is None else UnitesSpec(self.unites.identifier.strip(), self.unites.strategy),
        )


@dataclass(frozen=True, slots=True)
class RetryPolicySpec:
    """How often a failing state is tried again, and after how long (milliseconds)."""

    max_retries: int = 3
    strategy: RetryStrategy = RetryStrategy.EXPONENTIAL
    backoff_factor: int = 2000
    exponent: int = 2
    max_delay: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a JSON document."""
        return {
            "max_retries": self.max_retries,
            "strategy": self.strategy.value,
            "backoff_factor": self.backoff_factor,
            "exponent": self.exponent,
            "max_delay": self.max_delay,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RetryPolicySpec:
        """Read what :meth:`to_json` wrote, or the same part of a request.

        What is absent takes its default.
        """
        default = cls()
        return cls(
            max_retries=document.get("max_retries", default.max_retries),
            strategy=RetryStrategy(document.get("strategy", default.strategy)),
            backoff_factor=document.get("backoff_factor", default.backoff_factor),
            exponent=document.get("exponent", default.exponent),
            max_delay=document.get("max_delay"),
        )


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """The store keys of a graph: those each trigger must give, and values for others."""

    required_keys: tuple[str, ...] = ()
    default_values: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def keys(self) -> frozenset[str]:
        """The keys that a template may refer to."""
        return frozenset(self.required_keys) | frozenset(self.default_values)

    def to_json(self) -> dict[str, Any]:
        """Return the store settings as a JSON document."""
        return {
            "required_keys": list(self.required_keys),
            "default_values": dict(self.default_values),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StoreSpec:
        """Read what :meth:`to_json` wrote, or the same part of a request."""
        return cls(
            required_keys=tuple(document.get("required_keys") or ()),
            default_values=dict(document.get("default_values") or {}),
        )

    def trimmed(self) -> StoreSpec:
        """Return the settings with the blanks around the keys taken off."""
        return StoreSpec(
            tuple(key.strip() for key in self.required_keys),
            {key.strip(): value for key, value in self.default_values.items()},
        )


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """A cron trigger: its expression, and what else its ``value`` held, which is only echoed."""

    expression: str
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """Return the trigger as a JSON document."""
        return {"type": "CRON", "value": {"expression": self.expression, **self.extra}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TriggerSpec:
        """Read what :meth:`to_json` wrote, or the same part of a request."""
        value = document["value"]
        extra = {key: entry for key, entry in value.items() if key != "expression"}
        return cls(value["expression"], extra)


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One version of a graph template. Of its secrets it knows the names only."""

    name: str
    namespace: str
    nodes: tuple[GraphNodeSpec, ...]
    secrets: tuple[str, ...] = ()
    retry_policy: RetryPolicySpec = field(default_factory=RetryPolicySpec)
    store: StoreSpec = field(default_factory=StoreSpec)
    triggers: tuple[TriggerSpec, ...] = ()

    @property
    def crons(self) -> tuple[str, ...]:
        """The distinct cron expressions, in the order given."""
        return tuple(dict.fromkeys(trigger.expression for trigger in self.triggers))

    def node(self, identifier: str) -> GraphNodeSpec | None:
        """Return the node with that identifier, if there is one."""
        return next((node for node in self.nodes if node.identifier == identifier), None)

    def to_json(self) -> dict[str, Any]:
        """Return the whole version as one JSON document."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "nodes": [node.to_json() for node in self.nodes],
            "secrets": list(self.secrets),
            "retry_policy": self.retry_policy.to_json(),
            "store_config": self.store.to_json(),
            "triggers": [trigger.to_json() for trigger in self.triggers],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GraphSpec:
        """Read what :meth:`to_json` wrote."""
        return cls(
            name=document["name"],
            namespace=document["namespace"],
            nodes=tuple(GraphNodeSpec.from_json(node) for node in document["nodes"]),
            secrets=tuple(document["secrets"]),
            retry_policy=RetryPolicySpec.from_json(document.get("retry_policy") or {}),
            store=StoreSpec.from_json(document.get("store_config") or {}),
            triggers=tuple(TriggerSpec.from_json(item) for item in document.get("triggers") or ()),
        )

    @classmethod
    def from_request(cls, name: str, namespace: str, body: Mapping[str, Any]) -> GraphSpec:
        """Make the version that a PUT asks for: names trimmed, defaults filled in.

        Args:
            name: The graph's name as in the path.
            namespace: The namespace as in the path.
            body: The request's body after it passed its schema and ``check_fields``;
                of ``secrets`` only the names are taken.
        """
        raw = cls.from_json({**body, "name": name, "namespace": namespace})
        return cls(
            name=name.strip(),
            namespace=namespace,
            nodes=tuple(node.trimmed() for node in raw.nodes),
            secrets=raw.secrets,
            retry_policy=raw.retry_policy,
            store=raw.store.trimmed(),
            triggers=raw.triggers,
        )
