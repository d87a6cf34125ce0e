"""The outcomes of a state, in the wire's own form, and what may be sent of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from exospherehost._redaction import Redactor
from exospherehost_client.models import ClaimedState, StateReport

if TYPE_CHECKING:
    from exospherehost_client import bodies

Kind: TypeAlias = Literal["executed", "errored", "pruned", "requeued"]

MAX_REPORT_BYTES = 15 * 1024 * 1024
"""The most bytes of data in one report: the hosted service keeps a state in one document of 16 MiB."""

HAND_BACK_DELAY_MS = 1


# Not frozen: making one takes four times as long then, and there is one for each state. Nor is the report a generated
# model: validating what has just been made takes longer than all else that is done to report it.
@dataclass(slots=True)
class Outcome:
    """What became of a state.

    Attributes:
        state_id: the state.
        kind: what it is.
        report: what is sent of it among others, and kept of it in a journal.
        protected: values that must stand in no text about it.
        size: about how many characters its data has.
        fields: what log records about it carry.
    """

    state_id: str
    kind: Kind
    report: bodies.StateReport
    protected: Sequence[str] = field(default=(), repr=False)
    size: int = 0
    fields: Mapping[str, Any] | None = field(default=None, repr=False)

    def set_claim_token(self, token: str | None) -> None:
        """Have the report act only while the claim with this token holds the state; None for any claim."""
        if token is None:
            return
        report = self.report
        if "executed" in report:
            report["executed"]["claim_token"] = token
        elif "errored" in report:
            report["errored"]["claim_token"] = token
        elif "prune" in report:
            report["prune"]["claim_token"] = token
        elif "requeue" in report:
            report["requeue"]["claim_token"] = token

    def redactor(self) -> Redactor:
        """Return what takes the protected values out of a text."""
        return Redactor(self.protected)


def executed(
    state_id: str, outputs: list[dict[str, Any]], protected: Sequence[str], size: int, fields: Mapping[str, Any]
) -> Outcome:
    """The node succeeded."""
    report: bodies.StateReport = {"state_id": state_id, "executed": {"outputs": outputs}}
    return Outcome(state_id, "executed", report, protected, size, fields)


def errored(
    state_id: str, error: str, protected: Sequence[str] = (), fields: Mapping[str, Any] | None = None
) -> Outcome:
    """The node failed; the text has been redacted."""
    # A service may take an empty text, but nobody can act on it.
    report: bodies.StateReport = {"state_id": state_id, "errored": {"error": error or "failed without a text"}}
    return Outcome(state_id, "errored", report, protected, fields=fields)


def pruned(
    state_id: str, data: dict[str, Any], protected: Sequence[str], size: int, fields: Mapping[str, Any]
) -> Outcome:
    """The node ended its state without next ones."""
    report: bodies.StateReport = {"state_id": state_id, "prune": {"data": data}}
    return Outcome(state_id, "pruned", report, protected, size, fields)


def requeued(state_id: str, delay_ms: int, protected: Sequence[str], fields: Mapping[str, Any]) -> Outcome:
    """The state is to be due again after a while."""
    report: bodies.StateReport = {"state_id": state_id, "requeue": {"enqueue_after": delay_ms}}
    return Outcome(state_id, "requeued", report, protected, fields=fields)


def handed_back(state_id: str, fields: Mapping[str, Any]) -> Outcome:
    """The state was claimed and is not executed here."""
    return requeued(state_id, HAND_BACK_DELAY_MS, (), fields)


def from_journal(text: str) -> Outcome:
    """Read an outcome's report, written as JSON.

    Raises:
        ValidationError: it is something else.
    """
    report = cast("bodies.StateReport", StateReport.model_validate_json(text).model_dump(exclude_unset=True))
    return Outcome(report["state_id"], _kind_of(report), report)


def _kind_of(report: bodies.StateReport) -> Kind:
    if "executed" in report:
        return "executed"
    if "errored" in report:
        return "errored"
    return "pruned" if "prune" in report else "requeued"


def size_of(data: Sequence[Mapping[str, Any]]) -> int:
    """Tell about how many characters the fields of outputs have.

    What is no text is counted as JSON; what is no JSON either counts for nothing, since sending it will say so.
    """
    return sum(
        [len(value) if isinstance(value, str) else len(_json(value)) for each in data for value in each.values()]
    )


def output_fields(outputs: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """List the fields of outputs, each with the place that it has in the report."""
    return [
        (f"outputs[{index}].{name}", value) for index, output in enumerate(outputs) for name, value in output.items()
    ]


def data_fields(data: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """List the fields of what a node prunes with, likewise."""
    return [(f"data.{name}", value) for each in data for name, value in each.items()]


def oversize(fields: Iterable[tuple[str, Any]]) -> str:
    """Say which field makes a report too large; empty where it is not.

    Args:
        fields: the report's data, each with the place that it has there.
    """
    sizes = {place: _byte_length(value) for place, value in fields}
    total = sum(sizes.values())
    if total <= MAX_REPORT_BYTES:
        return ""
    largest = max(sizes, key=sizes.__getitem__)
    return (
        f"the report has {total:,} bytes of data, and may have {MAX_REPORT_BYTES:,}; "
        f"the largest field is {largest} with {sizes[largest]:,}: store it elsewhere and pass on where it is"
    )


def _byte_length(value: object) -> int:
    return len((value if isinstance(value, str) else _json(value)).encode("utf-8", "replace"))


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return ""


def log_fields(namespace: str, state: ClaimedState) -> dict[str, Any]:
    """The fields that a log record about a state carries; graph, run and attempt where the service tells them."""
    fields: dict[str, Any] = {
        "exosphere_namespace": namespace,
        "exosphere_node": state.node_name,
        "exosphere_identifier": state.identifier,
        "exosphere_state_id": state.state_id,
    }
    # A service tells all three or none.
    if state.attempt is not None:
        fields["exosphere_graph"] = state.graph_name
        fields["exosphere_run_id"] = state.run_id
        fields["exosphere_attempt"] = state.attempt
    return fields


def fields_of_unknown(namespace: str, state_id: str) -> dict[str, str]:
    """The fields of a log record about a state of an earlier run, of which nothing else is known."""
    return {"exosphere_namespace": namespace, "exosphere_state_id": state_id}
