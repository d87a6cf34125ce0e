#!/usr/bin/env bash
# Runs the main job on the text files of a folder (by default this project) with a state manager of its own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
if [ "$#" -gt 1 ] || [[ "${1:-}" == -* ]]; then
    echo "usage: scripts/demo.sh [FOLDER]" >&2
    exit 2
fi
folder="${1-$ROOT}"
if [ ! -d "$folder" ]; then
    echo "scripts/demo.sh: $folder is not a folder" >&2
    exit 2
fi
use_environment run
exec "$python" -m exospherehost.cli dev "$ROOT/examples/folder_report.py" "$folder"
