# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What the document demands of the parts of a path."""

from collections.abc import Mapping

PATH_PATTERNS: Mapping[str, str] = {
    "graph_name": "^[^/]+$",
    "namespace_name": "^[^/]+$",
    "node_id": "^[0-9a-fA-F]{24}$",
    "run_id": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "state_id": "^[0-9a-fA-F]{24}$",
}
"""A regular expression for the whole of each parameter that has one, by the parameter's name."""
