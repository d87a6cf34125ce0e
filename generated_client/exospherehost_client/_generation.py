# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What this package was generated from and by."""

# Of openapi.json, the document compiled to canonical JSON.
DOCUMENT_SHA256 = "ad568b0ceecd3dee7a814a8fe286003bc3e5dcb6834fe56b239e67edeb53b2d8"

GENERATORS = {"datamodel-code-generator": "0.89.0", "openapi-python-client": "0.29.1", "ruff": "0.17.6"}
