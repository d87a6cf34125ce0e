# Sourced by the other scripts: finds a Python and makes the environment. No output but on standard error.
#
#   use_environment run|dev     sets $python to the interpreter of .venv-<X.Y>, made or brought up to date
#   find_pythons                prints the usable interpreters, the preferred first
#
# The variable PYTHON names the interpreter to build on; without it the newest that PATH or pyenv has is used.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# A pyenv shim may exist and fail, and Debian's Python may lack venv, so each candidate is tried.
usable_python() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_pythons() {
    local name candidate
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        candidate="$(command -v "$name" 2>/dev/null)" || continue
        if usable_python "$candidate"; then echo "$candidate"; fi
    done
    if command -v pyenv >/dev/null 2>&1; then
        for candidate in $(printf '%s\n' "$(pyenv root)"/versions/3.*/bin/python | sort -rV); do
            if [ -x "$candidate" ] && usable_python "$candidate"; then echo "$candidate"; fi
        done
    fi
}

use_environment() {
    local base
    if [ -n "${PYTHON:-}" ]; then
        base="$PYTHON"
        if ! usable_python "$base"; then
            echo "PYTHON is $base, which is not a working Python 3.11 or newer with venv" >&2
            return 1
        fi
    else
        if ! read -r base < <(find_pythons); then
            echo "no working Python 3.11 or newer with venv was found: install one, or set PYTHON to its path" >&2
            return 1
        fi
    fi
    python="$("$base" "$ROOT/scripts/_environment.py" "$1")"
}
