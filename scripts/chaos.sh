#!/usr/bin/env bash
# Kills servers and runtimes at random while states run, then proves from the database that nothing was lost.
#
#   scripts/chaos.sh [--states N] [--database sqlite|postgresql://…] [--replicas N] [--runtimes N] [--seed S] [--json FILE]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"

use_environment dev
cd "$ROOT"
exec "$python" -m tests.chaos "$@"
