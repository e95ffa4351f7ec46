#!/usr/bin/env bash
# Runs all tests and ends with one line: "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
  # Namespaces, mounts and owners are what is tested: that takes root.
  exec sudo --preserve-env=PATH,CI,FV_SEED env "PATH=$PATH" "$0" "$@"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bun test --timeout 60000 "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
count() { grep -E "^ *[0-9]+ $1\$" "$log" | tail -n 1 | grep -oE '[0-9]+' || echo 0; }
passed=$(count pass)
bad=$(count fail)
skipped=$(count skip)
[ "$passed" -gt 0 ] || status=1
[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
echo "$passed passed, $bad failed, $skipped skipped"
exit "$status"
