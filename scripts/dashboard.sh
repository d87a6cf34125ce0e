#!/usr/bin/env bash
# Builds the dashboard: dashboard/ into exospherehost/dashboard/static. The API's types are made from the document each
# time. With --check nothing is changed: types, unit tests, size and the difference to what is checked in are judged,
# and the exit status is 1 if anything is amiss.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../dashboard"
built=../exospherehost/dashboard/static
# All scripts and styles together, as browsers get them.
most_zipped=$((90 * 1000))

if [ "$#" -gt 1 ] || [ "${1:---check}" != --check ]; then
    echo "usage: scripts/dashboard.sh [--check]" >&2
    exit 2
fi
if ! command -v npm >/dev/null || ! node -e 'const [major, minor] = process.versions.node.split(".");
        process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then
    echo "the dashboard needs node 20.19 or newer and npm; install them and run this again" >&2
    exit 1
fi
# npm ci deletes node_modules first, so it runs only when the lock file has changed.
if ! cmp -s package-lock.json node_modules/.installed-lock; then
    npm ci --ignore-scripts --loglevel error && cp package-lock.json node_modules/.installed-lock
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
fresh="$built"
if [ "${1:-}" = --check ]; then
    fresh="$scratch/static"
    npm run --silent test -- --reporter=dot
fi
npm run --silent types >/dev/null 2>&1
npm run --silent check
node_modules/.bin/vite build --logLevel warn --outDir "$fresh" --emptyOutDir

zipped=0
for file in "$fresh"/assets/*.js "$fresh"/assets/*.css; do
    zipped=$((zipped + $(gzip -9 -c "$file" | wc -c)))
done
echo "scripts and styles: $zipped bytes zipped, of $most_zipped at most"
if [ "$zipped" -gt "$most_zipped" ]; then
    echo "the dashboard is too large" >&2
    exit 1
fi
if [ "${1:-}" = --check ] && ! diff -r "$built" "$fresh" >/dev/null; then
    echo "exospherehost/dashboard/static is not what dashboard/ gives: run scripts/dashboard.sh and commit it" >&2
    diff -rq "$built" "$fresh" >&2 || true
    exit 1
fi
