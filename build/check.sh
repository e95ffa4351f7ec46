#!/usr/bin/env bash
# The gate: formatting, types by two checkers, lint with types, dead code.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
step() {
  local name=$1
  shift
  local output
  if output=$("$@" 2>&1); then
    echo "ok    $name"
  else
    failed=1
    printf 'FAIL  %s\n%s\n' "$name" "$output"
  fi
}
step "format" bun fmt --check .
step "types (bun)" bun check
step "types of the pure core (bun)" bun check -p src/protocol
step "types (tsc)" tsc -p .
step "types of the pure core (tsc)" tsc -p src/protocol
step "lint" bun --bun oxlint --type-aware src test bench build
step "dead code" bun --bun knip
exit $failed
