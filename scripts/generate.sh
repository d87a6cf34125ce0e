#!/usr/bin/env bash
# Generates generated_client/ from openapi/state-manager.yaml. With --check nothing is changed: what would change is
# shown, and the exit status is 1 if anything would.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
exec "$python" "$ROOT/openapi/generate.py" "$@"
