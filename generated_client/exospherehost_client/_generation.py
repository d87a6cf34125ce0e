# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What this package was generated from and by."""

# Of openapi.json, the document compiled to canonical JSON.
DOCUMENT_SHA256 = "9e9869925dc0947e40be1c7350aa0a7635172f1ae56efbf79ea8e5d23f07adc2"

GENERATORS = {"datamodel-code-generator": "0.89.0", "openapi-python-client": "0.29.1", "ruff": "0.17.6"}
