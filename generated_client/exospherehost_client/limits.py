# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""The bounds that the document sets on what is sent."""

from typing import Final

BATCH_SIZE_MAX: Final = 1000
"""The most of `batch_size` that a server grants."""
CLAIM_NODES_MAX_ITEMS: Final = 200
"""The most items of `nodes` that the embedded server takes."""
CRON_EXPRESSION_MAX_LENGTH: Final = 200
"""The most characters of `expression` that the embedded server takes."""
GRAPH_NODES_MAX_ITEMS: Final = 5000
"""The most items of `nodes` that the embedded server takes."""
IDEMPOTENCY_KEY_MAX_LENGTH: Final = 255
"""The most characters of `Idempotency-Key`."""
IDEMPOTENCY_KEY_MIN_LENGTH: Final = 1
"""The fewest characters of `Idempotency-Key`."""
LEASE_MS_MAX: Final = 86400000
"""The greatest value of `lease_ms`."""
LEASE_MS_MIN: Final = 1000
"""The least value of `lease_ms`."""
PAGE_MAX: Final = 2147483647
"""The most of `page` that a server grants."""
PAGE_SIZE_MAX: Final = 1000
"""The most of `size` that a server grants."""
RENEWED_STATES_MAX: Final = 1000
"""The most of `state_ids` to send in one request; a server may take more."""
REPORTS_MAX_ITEMS: Final = 1000
"""The most items of `reports`."""
SCHEDULES_MAX_ITEMS: Final = 200
"""The most items of `triggers` that the embedded server takes."""
WAIT_SECONDS_MAX: Final = 30
"""The most of `Prefer` that a server grants."""
