# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What this package was generated from and by."""

# Of openapi.json, the document compiled to canonical JSON.
DOCUMENT_SHA256 = "3eddfa242aa1d603a65a5c9ffb1ad9dd453550a26c72ab0f6e868e5744ed0e9a"

GENERATORS = {"datamodel-code-generator": "0.89.0", "openapi-python-client": "0.29.1", "ruff": "0.17.6"}
