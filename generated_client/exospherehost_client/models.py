# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""The data of the operations."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType

from exospherehost_client._model import AwareDatetime, RequestModel, WireModel


class ErrorDetail(WireModel):
    """The body of a deliberate refusal."""

    detail: str
    """Free text for a person."""


class ValidationIssue(WireModel):
    """One violation."""

    type: str
    """The kind of violation, as pydantic names it."""
    loc: list[str | int]
    """Where it is; begins with `body`, `path` or `header`."""
    msg: str
    """What is wrong."""
    input: Any | None = None
    """What was sent. It can hold a secret; do not log it."""
    ctx: dict[str, Any] | None = None
    """Parameters of the rule."""


class ValidationErrorDetail(WireModel):
    """The body of a 422."""

    detail: list[ValidationIssue]


class ServerError(WireModel):
    """The body of a 500."""

    success: bool
    """Always false."""
    detail: str
    """Generic text."""


class StateStatus(StrEnum):
    """
    CREATED, QUEUED and EXECUTED are pending; ERRORED and NEXT_CREATED_ERROR have failed; SUCCESS and PRUNED have succeeded; RETRY_CREATED was replaced by a retry.
    """

    CREATED = "CREATED"
    QUEUED = "QUEUED"
    EXECUTED = "EXECUTED"
    ERRORED = "ERRORED"
    NEXT_CREATED_ERROR = "NEXT_CREATED_ERROR"
    SUCCESS = "SUCCESS"
    PRUNED = "PRUNED"
    RETRY_CREATED = "RETRY_CREATED"


StateStatusValue = TypeAliasType("StateStatusValue", Annotated[StateStatus | str, Field(union_mode="left_to_right")])
"""A state's status, or one that this document does not know yet."""


class RunStatus(StrEnum):
    """
    PENDING while any state is pending, else FAILED if any has failed or there is none, else SUCCESS.
    """

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


RunStatusValue = TypeAliasType("RunStatusValue", Annotated[RunStatus | str, Field(union_mode="left_to_right")])
"""A run's status, or one that this document does not know yet."""


class ValidationStatus(StrEnum):
    """
    PENDING until verification has ended. ONGOING is declared and never sent.
    """

    PENDING = "PENDING"
    ONGOING = "ONGOING"
    VALID = "VALID"
    INVALID = "INVALID"


ValidationStatusValue = TypeAliasType(
    "ValidationStatusValue", Annotated[ValidationStatus | str, Field(union_mode="left_to_right")]
)
"""A validation status, or one that this document does not know yet."""


class RetryStrategy(StrEnum):
    """
    The delay before the k-th retry: backoff_factor · exponent^(k−1) for EXPONENTIAL, backoff_factor · k for LINEAR, backoff_factor for FIXED. FULL_JITTER takes a random part of it, EQUAL_JITTER half of it and a random part of the other half.
    """

    EXPONENTIAL = "EXPONENTIAL"
    EXPONENTIAL_FULL_JITTER = "EXPONENTIAL_FULL_JITTER"
    EXPONENTIAL_EQUAL_JITTER = "EXPONENTIAL_EQUAL_JITTER"
    LINEAR = "LINEAR"
    LINEAR_FULL_JITTER = "LINEAR_FULL_JITTER"
    LINEAR_EQUAL_JITTER = "LINEAR_EQUAL_JITTER"
    FIXED = "FIXED"
    FIXED_FULL_JITTER = "FIXED_FULL_JITTER"
    FIXED_EQUAL_JITTER = "FIXED_EQUAL_JITTER"


RetryStrategyValue = TypeAliasType(
    "RetryStrategyValue", Annotated[RetryStrategy | str, Field(union_mode="left_to_right")]
)
"""A retry strategy, or one that this document does not know yet."""


class UniteStrategy(StrEnum):
    """
    When a uniting state is made: ALL_SUCCESS when every state below the united one has succeeded, ALL_DONE when none is pending.
    """

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"


UniteStrategyValue = TypeAliasType(
    "UniteStrategyValue", Annotated[UniteStrategy | str, Field(union_mode="left_to_right")]
)
"""A unite strategy, or one that this document does not know yet."""


class TriggerType(StrEnum):
    """
    The kind of a graph's own trigger.
    """

    CRON = "CRON"


TriggerTypeValue = TypeAliasType("TriggerTypeValue", Annotated[TriggerType | str, Field(union_mode="left_to_right")])
"""A trigger type, or one that this document does not know yet."""


class HealthResponse(WireModel):
    """Says that the service is alive. What it holds differs between servers."""

    model_config = ConfigDict(extra="allow")
    message: str | None = None
    """Free text."""
    status: str | None = None
    """Free text."""


class ListNamespacesResponse(WireModel):
    """The namespaces that have a registered node."""

    namespaces: list[str]
    """Sorted by code point."""
    count: int
    """How many."""


class NodeRegistration(WireModel):
    """A node as a runtime registers it."""

    name: str
    """The node's name, unique in its namespace."""
    inputs_schema: dict[str, Any]
    """JSON schema of the inputs."""
    outputs_schema: dict[str, Any]
    """JSON schema of the outputs."""
    secrets: list[str]
    """Names of the secrets that the node needs."""


class RegisterNodesRequest(WireModel):
    """What a runtime offers."""

    runtime_name: str
    """The runtime's name. May be empty."""
    nodes: list[NodeRegistration]
    """May be empty."""


class RegisterNodesResponse(WireModel):
    """What was registered."""

    runtime_name: str
    """As sent."""
    registered_nodes: list[NodeRegistration]
    """In the order of the request, duplicates included."""
    warnings: list[str] | None = None
    """Nodes that were registered by a runtime of another name with another schema. Absent where there is nothing to warn of."""


class RegisteredNode(WireModel):
    """A node that has been registered."""

    id: Annotated[str | None, Field(alias="_id")]
    """The id of this registration."""
    created_at: AwareDatetime
    """First registration, ISO 8601."""
    updated_at: AwareDatetime
    """ISO 8601. Not changed by a later registration on the hosted service."""
    name: str
    """The node's name."""
    namespace: str
    """The namespace it is registered in."""
    runtime_name: str
    """The runtime that registered it last."""
    runtime_namespace: str
    """That runtime's namespace."""
    inputs_schema: dict[str, Any]
    """JSON schema of the inputs."""
    outputs_schema: dict[str, Any]
    """JSON schema of the outputs."""
    secrets: list[str]
    """Names of the secrets that the node needs."""


class ListNodesResponse(WireModel):
    """The registered nodes of a namespace."""

    namespace: str
    """As asked for."""
    count: int
    """How many."""
    nodes: list[RegisteredNode]


class Unites(WireModel):
    """Makes a node a join of all that is below another."""

    identifier: str
    """The identifier of the united node, an ancestor."""
    strategy: UniteStrategy = UniteStrategy.ALL_SUCCESS


class UnitesDetail(WireModel):
    """A join as it is stored."""

    identifier: str
    """The identifier of the united node."""
    strategy: UniteStrategyValue


class GraphNode(WireModel):
    """A node's place in a graph."""

    node_name: str
    """The name of a registered node. Not blank."""
    namespace: str
    """The namespace that the node is registered in."""
    identifier: str
    """Unique in the graph, not blank, not `store`."""
    inputs: dict[str, Any]
    """Text by input field, in which `${{identifier.outputs.field}}` and `${{store.key}}` are replaced. A value that is not text is refused with 400."""
    next_nodes: list[str] | None = None
    """Identifiers of the nodes that follow."""
    unites: Unites | None = None
    """Set on a node that joins."""


class GraphNodeDetail(WireModel):
    """A node's place in a graph, as it is stored."""

    node_name: str
    """The name of a registered node."""
    namespace: str
    """The namespace that the node is registered in."""
    identifier: str
    """Unique in the graph."""
    inputs: dict[str, Any]
    """Templates by input field."""
    next_nodes: list[str] | None
    """Identifiers of the nodes that follow."""
    unites: Annotated[UnitesDetail | None, Field(...)]
    """Set on a node that joins."""


class RetryPolicy(WireModel):
    """What happens when a state fails."""

    max_retries: Annotated[int, Field(ge=0)] = 3
    """Retries after the first attempt."""
    strategy: RetryStrategy = RetryStrategy.EXPONENTIAL
    backoff_factor: Annotated[int, Field(gt=0)] = 2000
    """Base of the delay, milliseconds."""
    exponent: Annotated[int, Field(gt=0)] = 2
    """Growth of the delay with the EXPONENTIAL strategies."""
    max_delay: Annotated[int | None, Field(gt=0)] = None
    """Cap of the delay, milliseconds, applied after jitter; null for none."""


class RetryPolicyDetail(WireModel):
    """A retry policy as it is stored."""

    max_retries: int
    """Retries after the first attempt."""
    strategy: RetryStrategyValue
    backoff_factor: int
    """Base of the delay, milliseconds."""
    exponent: int
    """Growth of the delay with the EXPONENTIAL strategies."""
    max_delay: int | None
    """Cap of the delay, milliseconds; null for none."""


class StoreConfig(WireModel):
    """The keys that a run's store has. Keys are trimmed, unique, not blank and without a dot."""

    required_keys: list[str] = []
    """Keys that every trigger must give. A default value does not satisfy them."""
    default_values: dict[str, str] = {}
    """Values of keys that a trigger does not give."""


class CronSchedule(WireModel):
    """When a CRON trigger fires. Other keys are kept and given back."""

    model_config = ConfigDict(extra="allow")
    expression: str
    """Five fields, or six with seconds last, or seven with the year; the embedded service takes 200 characters at most. UTC on the embedded service; the host's local time on the hosted one."""


class Trigger(WireModel):
    """A graph's own trigger."""

    type: TriggerType
    value: CronSchedule


class TriggerDetail(WireModel):
    """A graph's own trigger as it is stored."""

    type: TriggerTypeValue
    value: dict[str, Any]
    """For CRON, a `CronSchedule`."""


class UpsertGraphRequest(RequestModel):
    """A graph template."""

    secrets: dict[str, str]
    """Secret values by name, in clear; stored encrypted."""
    nodes: list[GraphNode]
    """The nodes; exactly one of them is the root. The embedded service takes 5,000 at most."""
    retry_policy: Annotated[RetryPolicy | None, Field(json_schema_extra={"x-never-null": True})] = None
    store_config: Annotated[StoreConfig | None, Field(json_schema_extra={"x-never-null": True})] = None
    triggers: Annotated[list[Trigger], Field(validate_default=True)] = []
    """The graph's own triggers. The embedded service keeps 200 schedules of a namespace at most."""


class GraphResponse(WireModel):
    """A graph template as it is stored."""

    nodes: list[GraphNodeDetail]
    secrets: dict[str, bool]
    """True for each secret's name."""
    retry_policy: RetryPolicyDetail
    store_config: StoreConfig
    triggers: list[TriggerDetail]
    created_at: AwareDatetime
    """First PUT, ISO 8601."""
    updated_at: AwareDatetime
    """Last PUT or verification, ISO 8601."""
    validation_status: ValidationStatusValue
    validation_errors: list[str] | None
    """Why the graph is INVALID."""


class GraphListItem(WireModel):
    """A graph template in a list."""

    id: Annotated[str | None, Field(alias="_id")]
    """The template's id."""
    name: str
    """The graph's name."""
    namespace: str
    """The graph's namespace."""
    nodes: list[GraphNodeDetail]
    secrets: dict[str, str]
    """A mask for each secret's name; the hosted service sends the ciphertext."""
    retry_policy: RetryPolicyDetail
    store_config: StoreConfig
    triggers: list[TriggerDetail]
    created_at: AwareDatetime
    """First PUT, ISO 8601."""
    updated_at: AwareDatetime
    """Last PUT or verification, ISO 8601."""
    validation_status: ValidationStatusValue
    validation_errors: list[str] | None
    """Why the graph is INVALID."""


class ListGraphsResponse(WireModel):
    """The graph templates of a namespace."""

    namespace: str
    """As asked for."""
    count: int
    """How many."""
    templates: list[GraphListItem]


class DeleteGraphResponse(WireModel):
    """What deleting a graph did."""

    name: str
    """The graph's name."""
    cancelled_runs: int
    """How many running runs were ended."""


class TriggerEntry(WireModel):
    """One state to begin with."""

    identifier: str
    """The identifier of a node of the graph."""
    inputs: dict[str, str]
    """Laid over the template's inputs of that node."""


class TriggerGraphRequest(RequestModel):
    """What a run begins with."""

    store: dict[str, str] = {}
    """The run's store, taken literally."""
    inputs: dict[str, str] = {}
    """Laid over the template's inputs of the root node; other keys are dropped."""
    start_delay: Annotated[int, Field(ge=0)] = 0
    """Milliseconds until the first states are due."""
    states: Annotated[list[TriggerEntry] | None, Field(json_schema_extra={"x-never-null": True}, min_length=1)] = None
    """The states to begin with, in place of `inputs`: one for each entry, in one run. The same identifier may come several times."""


class TriggeredState(WireModel):
    """A state that a trigger made."""

    state_id: str
    """The state's id."""
    identifier: str
    """As in the entry."""
    node_name: str
    """The node's name."""
    inputs: dict[str, str]
    """The resolved inputs."""


class TriggerGraphResponse(WireModel):
    """The run that was made."""

    status: StateStatusValue
    run_id: str
    """The run's id, a UUID."""
    states: list[TriggeredState] | None = None
    """One for each entry, in order."""
    warnings: list[str] | None = None
    """Inputs that were dropped, because the template does not have them. Absent where there is nothing to warn of."""


class EnqueueStatesRequest(RequestModel):
    """What a runtime can execute."""

    nodes: list[str]
    """Names of nodes. The embedded service takes 200 at most."""
    batch_size: int
    """The most states to claim. Keep it small: the hosted service sets no bound. The embedded one returns 1,000 at most."""
    lease_ms: Annotated[int | None, Field(ge=1000, json_schema_extra={"x-never-null": True}, le=86400000)] = None
    """Milliseconds after which a claim that was not renewed counts as an error report. Without it a claim never expires."""


class ClaimedState(WireModel):
    """A state to execute."""

    state_id: str
    """The state's id."""
    node_name: str
    """The node to execute."""
    identifier: str
    """The node's identifier in the graph."""
    inputs: dict[str, Any]
    """The resolved inputs."""
    created_at: AwareDatetime
    """ISO 8601."""
    graph_name: str | None = None
    """The graph."""
    run_id: str | None = None
    """The run."""
    attempt: int | None = None
    """1 for the first attempt."""
    lease_expires_at: AwareDatetime | None = None
    """When the lease runs out, ISO 8601."""
    claim_token: str | None = None
    """Names this claim of the state. A report, signal or renewal that carries it acts only while this claim holds the state, so one that arrives twice, or late, does no harm to the next holder."""


class EnqueueStatesResponse(WireModel):
    """The claimed states."""

    count: int
    """How many."""
    namespace: str
    """As asked for."""
    status: str
    """QUEUED. Another text says nothing about the states."""
    states: list[ClaimedState]


class ExecutedRequest(RequestModel):
    """The outputs of a state."""

    outputs: list[dict[str, Any]]
    """None for no output, one, or several to fan out."""
    claim_token: Annotated[str | None, Field(json_schema_extra={"x-never-null": True})] = None
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class ExecutedResponse(WireModel):
    """The report was taken."""

    status: StateStatusValue


class ErroredRequest(RequestModel):
    """Why a state failed."""

    error: str
    """Free text, kept on the state."""
    claim_token: Annotated[str | None, Field(json_schema_extra={"x-never-null": True})] = None
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class ErroredResponse(WireModel):
    """The report was taken."""

    status: StateStatusValue
    retry_created: bool
    """Whether a retry state was made."""


class PruneRequest(RequestModel):
    """Data to keep with a pruned state."""

    data: dict[str, Any]
    """Kept; no endpoint shows it."""
    claim_token: Annotated[str | None, Field(json_schema_extra={"x-never-null": True})] = None
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class RequeueRequest(RequestModel):
    """When the state is to be due again."""

    enqueue_after: Annotated[int, Field(gt=0)]
    """Delay in milliseconds."""
    claim_token: Annotated[str | None, Field(json_schema_extra={"x-never-null": True})] = None
    """The claim that the report is about, as the claimed state carried it. The report acts only while that claim holds the state. Without it, it acts on whoever holds the state."""


class SignalResponse(WireModel):
    """The state after a signal."""

    enqueue_after: int
    """When the state is due, epoch milliseconds."""
    status: StateStatusValue


class ManualRetryRequest(WireModel):
    """Identifies a manual retry."""

    fanout_id: str
    """Any text; the same one a second time is refused with 409."""


class ManualRetryResponse(WireModel):
    """The new state."""

    id: str
    """The new state's id."""
    status: StateStatusValue


class SecretsResponse(WireModel):
    """Secrets in clear."""

    secrets: dict[str, str]
    """Values by name. Do not log them."""


class RenewLeasesRequest(RequestModel):
    """Leases to renew."""

    state_ids: list[str]
    """Ids of claimed states."""
    claim_tokens: Annotated[dict[str, str] | None, Field(json_schema_extra={"x-never-null": True})] = None
    """The token of the claim that holds each state, by the state's id. A lease is renewed only while that claim holds it."""
    lease_ms: Annotated[int, Field(ge=1000, le=86400000)]
    """The new length of each lease, milliseconds from now."""


class HeldLease(WireModel):
    """A lease that is still held."""

    state_id: str
    """The state's id."""
    lease_expires_at: AwareDatetime
    """ISO 8601."""


class RenewLeasesResponse(WireModel):
    """The leases that are still held."""

    held: list[HeldLease]


class StateReport(RequestModel):
    """The outcome of one state; exactly one of the outcomes is given."""

    state_id: str
    """The state's id."""
    executed: Annotated[ExecutedRequest | None, Field(json_schema_extra={"x-never-null": True})] = None
    errored: Annotated[ErroredRequest | None, Field(json_schema_extra={"x-never-null": True})] = None
    prune: Annotated[PruneRequest | None, Field(json_schema_extra={"x-never-null": True})] = None
    requeue: Annotated[RequeueRequest | None, Field(json_schema_extra={"x-never-null": True})] = None


class ReportStatesRequest(WireModel):
    """Outcomes of states."""

    reports: Annotated[list[StateReport], Field(max_length=1000)]


class StateReportResult(WireModel):
    """What became of one report."""

    state_id: str
    """The state's id."""
    status: int
    """The HTTP status that the report's own operation would have answered."""
    detail: str | None = None
    """Why it was refused."""
    retry_created: bool | None = None
    """For an errored report, whether a retry state was made."""
    enqueue_after: int | None = None
    """For a signal, when the state is due, epoch milliseconds."""


class ReportStatesResponse(WireModel):
    """One result for each report."""

    results: list[StateReportResult]
    """In the order of the reports."""


class RunSummary(WireModel):
    """A run in a list."""

    run_id: str
    """The run's id, a UUID."""
    graph_name: str
    """The graph."""
    success_count: int
    """States that are SUCCESS or PRUNED."""
    pending_count: int
    """States that are CREATED, QUEUED or EXECUTED."""
    errored_count: int
    """States that are ERRORED or NEXT_CREATED_ERROR."""
    retried_count: int
    """States that are RETRY_CREATED."""
    total_count: int
    """All states of the run."""
    status: RunStatusValue
    created_at: AwareDatetime
    """ISO 8601."""
    cancelled_at: AwareDatetime | None = None
    """When the run was cancelled, ISO 8601; null or absent if it was not."""


class ListRunsResponse(WireModel):
    """One page of runs."""

    namespace: str
    """As asked for."""
    total: int
    """All runs of the namespace."""
    page: int
    """As asked for."""
    size: int
    """As asked for."""
    runs: list[RunSummary]
    """Newest first."""


class RunGraphNode(WireModel):
    """A state in a run's graph."""

    id: str
    """The state's id."""
    node_name: str
    """The node's name."""
    identifier: str
    """The node's identifier in the graph."""
    status: StateStatusValue
    error: str | None
    """The reported error."""


class RunGraphEdge(WireModel):
    """From a state to one that follows from it."""

    source: str
    """A state's id."""
    target: str
    """A state's id."""


class RunGraphResponse(WireModel):
    """The states of a run."""

    root_states: list[RunGraphNode]
    """The states without parents."""
    graph_name: str
    """The graph; empty for an unknown run."""
    nodes: list[RunGraphNode]
    """In the order of creation."""
    edges: list[RunGraphEdge]
    node_count: int
    """How many nodes."""
    edge_count: int
    """How many edges."""
    cancelled_at: AwareDatetime | None = None
    """When the run was cancelled, ISO 8601; null or absent if it was not."""
    execution_summary: dict[str, int]
    """How many states have each status, by the status as the service spells it."""


class StateDetail(WireModel):
    """A state in full."""

    id: str
    """The state's id."""
    node_name: str
    """The node's name."""
    identifier: str
    """The node's identifier in the graph."""
    graph_name: str
    """The graph."""
    run_id: str
    """The run's id, a UUID."""
    status: StateStatusValue
    inputs: dict[str, Any]
    """The resolved inputs."""
    outputs: dict[str, Any]
    """The reported output; empty until then."""
    error: str | None
    """The reported error."""
    parents: dict[str, str]
    """State ids by the identifiers of the nodes above."""
    created_at: AwareDatetime
    """ISO 8601."""
    updated_at: AwareDatetime
    """ISO 8601."""


class CancelRunResponse(WireModel):
    """What cancelling a run did."""

    run_id: str
    """The run's id, a UUID."""
    status: RunStatusValue
    cancelled_at: AwareDatetime | None
    """When the run was first cancelled, ISO 8601; null if it had ended before and is as it was."""
    pruned_count: int
    """States that this call pruned."""


class RunEvent(WireModel):
    """A transition of one state, or the end of the run."""

    event_id: str
    """What `Last-Event-ID` takes; no other meaning."""
    state_id: str | None = None
    """The state; absent for the end of the run."""
    identifier: str | None = None
    """The node's identifier in the graph."""
    node_name: str | None = None
    """The node's name."""
    status: str
    """The state's new status, or the run's final one."""
    occurred_at: AwareDatetime
    """ISO 8601."""
