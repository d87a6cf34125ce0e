# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Operations on runs."""
