"""The outcomes of a state, in the wire's own form, and what may be sent of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from exospherehost._redaction import Redactor
from exospherehost_client.models import StateReport

Kind: TypeAlias = Literal["executed", "errored", "pruned", "requeued"]

MAX_REPORT_BYTES = 15 * 1024 * 1024
"""The most bytes of data in one report: the hosted service keeps a state in one document of 16 MiB."""

HAND_BACK_DELAY_MS = 1


# Not frozen: making one takes four times as long then, and there is one for each state.
@dataclass(slots=True)
class Outcome:
    """What became of a state.

    Attributes:
        report: the outcome as it is sent.
        protected: values that must stand in no text about it.
        size: about how many characters its data has.
        fields: what log records about it carry.
    """

    report: StateReport
    protected: Sequence[str] = field(default=(), repr=False)
    size: int = 0
    fields: Mapping[str, Any] | None = field(default=None, repr=False)

    def redactor(self) -> Redactor:
        """Return what takes the protected values out of a text."""
        return Redactor(self.protected)


def executed(state_id: str, outputs: list[dict[str, Any]]) -> StateReport:
    """The node returned; one item for each output."""
    return _report(state_id, "executed", {"outputs": outputs})


def errored(state_id: str, error: str) -> StateReport:
    """The node failed; the text has been redacted."""
    # A service may take an empty text, but nobody can act on it.
    return _report(state_id, "errored", {"error": error or "failed without a text"})


def pruned(state_id: str, data: dict[str, Any]) -> StateReport:
    """The node raised PruneSignal."""
    return _report(state_id, "prune", {"data": data})


def requeued(state_id: str, delay_ms: int) -> StateReport:
    """The node raised ReQueueAfterSignal, or the state is handed back."""
    return _report(state_id, "requeue", {"enqueue_after": delay_ms})


def handed_back(state_id: str) -> StateReport:
    """The state was claimed and is not executed here."""
    return requeued(state_id, HAND_BACK_DELAY_MS)


def _report(state_id: str, outcome: Literal["executed", "errored", "prune", "requeue"], body: Any) -> StateReport:
    # Both models in one go, which takes half of the time of making one after the other.
    report: StateReport = StateReport.__pydantic_validator__.validate_python({"state_id": state_id, outcome: body})
    return report


def kind_of(report: StateReport) -> Kind:
    """Name the outcome that a report holds."""
    if report.executed is not None:
        return "executed"
    if report.errored is not None:
        return "errored"
    return "pruned" if report.prune is not None else "requeued"


def size_of(data: Mapping[str, Any]) -> int:
    """Tell about how many characters the fields of an output have.

    What is no text is counted as JSON; what is no JSON either counts for nothing, since sending it will say so.
    """
    return sum([len(value) if isinstance(value, str) else len(_json(value)) for value in data.values()])


def output_fields(outputs: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """List the fields of outputs, each with the place that it has in the report."""
    return [
        (f"outputs[{index}].{name}", value) for index, output in enumerate(outputs) for name, value in output.items()
    ]


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
