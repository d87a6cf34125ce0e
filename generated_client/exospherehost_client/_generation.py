# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What this package was generated from and by."""

# Of openapi.json, the document compiled to canonical JSON.
DOCUMENT_SHA256 = "ec0479513ae26df949f8bf8d215711cad2299f0a6b93c85f08f4ccf4e8026fb1"

GENERATORS = {"datamodel-code-generator": "0.89.0", "openapi-python-client": "0.29.1", "ruff": "0.17.6"}
