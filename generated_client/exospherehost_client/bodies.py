# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What is sent, as plain dicts, for whoever makes many."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

RetryStrategy: TypeAlias = Literal[
    "EXPONENTIAL",
    "EXPONENTIAL_FULL_JITTER",
    "EXPONENTIAL_EQUAL_JITTER",
    "LINEAR",
    "LINEAR_FULL_JITTER",
    "LINEAR_EQUAL_JITTER",
    "FIXED",
    "FIXED_FULL_JITTER",
    "FIXED_EQUAL_JITTER",
]
"""The delay before the k-th retry: backoff_factor · exponent^(k−1) for EXPONENTIAL, backoff_factor · k for LINEAR, backoff_factor for FIXED. FULL_JITTER takes a random part of it, EQUAL_JITTER half of it and a random part of the other half."""


UniteStrategy: TypeAlias = Literal["ALL_SUCCESS", "ALL_DONE"]
"""When a uniting state is made: ALL_SUCCESS when every state below the united one has succeeded, ALL_DONE when none is pending."""


TriggerType: TypeAlias = Literal["CRON"]
"""The kind of a graph's own trigger."""


class NodeRegistration(TypedDict):
    """A node as a runtime registers it."""

    name: str
    """The node's name, unique in its namespace."""
    inputs_schema: dict[str, Any]
    """JSON schema of the inputs."""
    outputs_schema: dict[str, Any]
    """JSON schema of the outputs."""
    secrets: list[str]
    """Names of the secrets that the node needs."""


class RegisterNodesRequest(TypedDict):
    """What a runtime offers."""

    runtime_name: str
    """The runtime's name. May be empty."""
    nodes: list[NodeRegistration]
    """May be empty."""


class Unites(TypedDict):
    """Makes a node a join of all that is below another."""

    identifier: str
    """The identifier of the united node, an ancestor."""
    strategy: NotRequired[UniteStrategy]


class GraphNode(TypedDict):
    """A node's place in a graph."""

    node_name: str
    """The name of a registered node. Not blank."""
    namespace: str
    """The namespace that the node is registered in."""
    identifier: str
    """Unique in the graph, not blank, not `store`."""
    inputs: dict[str, Any]
    """Text by input field, in which `${{identifier.outputs.field}}` and `${{store.key}}` are replaced. A value that is not text is refused with 400."""
    next_nodes: NotRequired[list[str] | None]
    """Identifiers of the nodes that follow."""
    unites: NotRequired[Unites | None]
    """Set on a node that joins."""


class RetryPolicy(TypedDict):
    """What happens when a state fails."""

    max_retries: NotRequired[int]
    """Retries after the first attempt."""
    strategy: NotRequired[RetryStrategy]
    backoff_factor: NotRequired[int]
    """Base of the delay, milliseconds."""
    exponent: NotRequired[int]
    """Growth of the delay with the EXPONENTIAL strategies."""
    max_delay: NotRequired[int | None]
    """Cap of the delay, milliseconds, applied after jitter; null for none."""


class StoreConfig(TypedDict):
    """The keys that a run's store has. Keys are trimmed, unique, not blank and without a dot."""

    required_keys: NotRequired[list[str]]
    """Keys that every trigger must give. A default value does not satisfy them."""
    default_values: NotRequired[dict[str, str]]
    """Values of keys that a trigger does not give."""


class CronSchedule(TypedDict):
    """When a CRON trigger fires. Other keys are kept and given back."""

    expression: str
    """Five fields, or six with seconds last, or seven with the year; the embedded service takes 200 characters at most. UTC on the embedded service; the host's local time on the hosted one."""


class Trigger(TypedDict):
    """A graph's own trigger."""

    type: TriggerType
    value: CronSchedule


class UpsertGraphRequest(TypedDict):
    """A graph template."""

    secrets: dict[str, str]
    """Secret values by name, in clear; stored encrypted."""
    nodes: list[GraphNode]
    """The nodes; exactly one of them is the root. The embedded service takes 5,000 at most."""
    retry_policy: NotRequired[RetryPolicy]
    store_config: NotRequired[StoreConfig]
    triggers: NotRequired[list[Trigger]]
    """The graph's own triggers. The embedded service keeps 200 schedules of a namespace at most."""


class TriggerEntry(TypedDict):
    """One state to begin with."""

    identifier: str
    """The identifier of a node of the graph."""
    inputs: dict[str, str]
    """Laid over the template's inputs of that node."""


class TriggerGraphRequest(TypedDict):
    """What a run begins with."""

    store: NotRequired[dict[str, str]]
    """The run's store, taken literally."""
    inputs: NotRequired[dict[str, str]]
    """Laid over the template's inputs of the root node; other keys are dropped."""
    start_delay: NotRequired[int]
    """Milliseconds until the first states are due."""
    states: NotRequired[list[TriggerEntry]]
    """The states to begin with, in place of `inputs`: one for each entry, in one run. The same identifier may come several times."""


class EnqueueStatesRequest(TypedDict):
    """What a runtime can execute."""

    nodes: list[str]
    """Names of nodes. The embedded service takes 200 at most."""
    batch_size: int
    """The most states to claim. Keep it small: the hosted service sets no bound. The embedded one returns 1,000 at most."""
    lease_ms: NotRequired[int]
    """Milliseconds after which a claim that was not renewed counts as an error report. Without it a claim never expires."""


class ExecutedRequest(TypedDict):
    """The outputs of a state."""

    outputs: list[dict[str, Any]]
    """None for no output, one, or several to fan out."""
    claim_token: NotRequired[str]
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class ErroredRequest(TypedDict):
    """Why a state failed."""

    error: str
    """Free text, kept on the state."""
    claim_token: NotRequired[str]
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class PruneRequest(TypedDict):
    """Data to keep with a pruned state."""

    data: dict[str, Any]
    """Kept; no endpoint shows it."""
    claim_token: NotRequired[str]
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class RequeueRequest(TypedDict):
    """When the state is to be due again."""

    enqueue_after: int
    """Delay in milliseconds."""
    claim_token: NotRequired[str]
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class ManualRetryRequest(TypedDict):
    """Identifies a manual retry."""

    fanout_id: str
    """Any text; the same one a second time is refused with 409."""


class RenewLeasesRequest(TypedDict):
    """Leases to renew."""

    state_ids: list[str]
    """Ids of claimed states."""
    claim_tokens: NotRequired[dict[str, str]]
    """The token of the claim that holds each state, by the state's id. A lease is renewed only while that claim holds it."""
    lease_ms: int
    """The new length of each lease, milliseconds from now."""


class StateReport(TypedDict):
    """The outcome of one state; exactly one of the outcomes is given."""

    state_id: str
    """The state's id."""
    executed: NotRequired[ExecutedRequest]
    errored: NotRequired[ErroredRequest]
    prune: NotRequired[PruneRequest]
    requeue: NotRequired[RequeueRequest]


class ReportStatesRequest(TypedDict):
    """Outcomes of states."""

    reports: list[StateReport]
