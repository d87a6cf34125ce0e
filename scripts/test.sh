#!/usr/bin/env bash
# Runs the tests, several at once since most of their time is waiting; arguments go to pytest (-n 0: one after the other).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
cd "$ROOT"
# A worker that crashes ends the run: one put in its place may wait for ever for files to test.
exec "$python" -m pytest -n 4 --dist loadfile --max-worker-restart 0 --instafail "$@"
