# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""The operations, by tag."""
