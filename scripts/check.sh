#!/usr/bin/env bash
# Runs everything that judges the sources without running them. All checks run, also after one has failed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_bootstrap.sh"
use_environment dev
cd "$ROOT"

failed=()
check() {
    local name="$1"
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}

node_tools() {
    if ! command -v npm >/dev/null || ! node -e 'const [major, minor] = process.versions.node.split(".");
            process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then
        echo "pyright and redocly need node 20.19 or newer and npm; install them and run this again" >&2
        return 1
    fi
    # npm ci deletes node_modules first, so it runs only when the lock file has changed.
    if ! cmp -s package-lock.json node_modules/.installed-lock; then
        npm ci --ignore-scripts --loglevel error && cp package-lock.json node_modules/.installed-lock
    fi
}

spec_lint() {
    REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
        node_modules/.bin/redocly lint --config openapi/redocly.yaml openapi/state-manager.yaml
}

# The kinds that Kubernetes has no schema for are left out: kustomization.yaml is read by tests/integration/deploy.
manifests() {
    local files=()
    for file in deploy/kubernetes/*.yaml; do
        [ "$(basename "$file")" = kustomization.yaml ] || files+=("$file")
    done
    "$(dirname "$python")/kubernetes-validate" --strict --quiet --kubernetes-version "$1" "${files[@]}"
}

check "ruff check" "$python" -m ruff check
check "ruff format" "$python" -m ruff format --check --diff --quiet
check "mypy" "$python" -m mypy
check "openapi-spec-validator" "$python" -m openapi_spec_validator openapi/state-manager.yaml
check "generated tree" scripts/generate.sh --check
check "synchronous face" "$python" scripts/sync_face.py --check
check "hadolint" "$(dirname "$python")/hadolint" deploy/Dockerfile
check "yamllint" "$python" -m yamllint --strict --config-file deploy/.yamllint.yaml deploy
check "kubernetes-validate, oldest" manifests 1.30.0
check "kubernetes-validate, newest" manifests 1.37.0
check "node tools" node_tools
check "pyright" node_modules/.bin/pyright --pythonpath "$python"
check "redocly" spec_lint
check "dashboard" scripts/dashboard.sh --check
check "dclint" node_modules/.bin/dclint --config deploy/.dclintrc.yaml --max-warnings 0 deploy/compose.yaml

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "all checks passed"
