#!/usr/bin/env bash
# Makes the pictures of the dashboard in docs/images: each page in light and dark, of a server with real runs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
cd "$ROOT"
exec "$python" -m tests.ui.pictures "${1:-docs/images}"
