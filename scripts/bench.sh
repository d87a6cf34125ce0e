#!/usr/bin/env bash
# Measures the runtime against the published SDK and against bare loops; see benchmarks/README.md.
#
#   scripts/bench.sh [NAME ...] [--rounds N] [--quick] [--json FILE] [--without-published]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"

# Both SDKs run on one Python, and the published one needs 3.12.
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))'
}

if [ -z "${PYTHON:-}" ]; then
    while read -r candidate; do
        if new_enough "$candidate"; then
            export PYTHON="$candidate"
            break
        fi
    done < <(find_pythons)
fi
use_environment run
cd "$ROOT"
exec "$python" -m benchmarks "$@"
