#!/usr/bin/env bash
# Runs the tests, several at once since most of their time is waiting; arguments go to pytest (-n 0: one after the other).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
cd "$ROOT"
exec "$python" -m pytest -n 4 --dist loadfile "$@"
