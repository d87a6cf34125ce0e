# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What this package was generated from and by."""

# Of openapi.json, the document compiled to canonical JSON.
DOCUMENT_SHA256 = "ec011b3ebff4bbce460765f773f8a7c878359117b440231adb7a988434810a91"

GENERATORS = {"datamodel-code-generator": "0.89.0", "openapi-python-client": "0.29.1", "ruff": "0.17.6"}
