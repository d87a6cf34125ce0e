# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""The extensions that a service may offer beyond the contract, by name."""

from typing import Final

MARK: Final = "x-exosphere-extension"
"""The key under which the document names the extension that an operation, a field or a header belongs to."""

BATCH_REPORT: Final = "batch-report"
CANCEL: Final = "cancel"
CLAIM_TOKEN: Final = "claim-token"
CONTEXT: Final = "context"
DELETE_GRAPH: Final = "delete-graph"
EVENTS: Final = "events"
IDEMPOTENCY: Final = "idempotency"
LEASE: Final = "lease"
TRIGGER_STATES: Final = "trigger-states"
WAIT: Final = "wait"
WARNINGS: Final = "warnings"

ALL: Final = frozenset(
    {
        BATCH_REPORT,
        CANCEL,
        CLAIM_TOKEN,
        CONTEXT,
        DELETE_GRAPH,
        EVENTS,
        IDEMPOTENCY,
        LEASE,
        TRIGGER_STATES,
        WAIT,
        WARNINGS,
    }
)
"""Every extension of the document."""
