#!/usr/bin/env bash
# Runs the tests; arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
cd "$ROOT"
exec "$python" -m pytest "$@"
