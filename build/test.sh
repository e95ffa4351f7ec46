#!/usr/bin/env bash
# Runs all tests and ends with one line: "N passed, N failed, N skipped". Most of them wait more than they
# compute, so two halves run side by side. With arguments: `bun test` with those.
set -uo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || exec build/as-root.sh build/test.sh "$@"
# Tests look at the modes of files that they make, and we at what bun says of them.
umask 022
unset FORCE_COLOR
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
half() { # NAME ARGUMENT...; a pipe, not a file: some tests look at what a child has inherited
  # Those side by side are no faster when there are more: they start programs, which then wait for each other.
  bun test --timeout 120000 --max-concurrency 6 "${@:2}" 2>&1 | tee "$logs/$1"
}
if [ $# -gt 0 ]; then
  half all "$@"
  status=$?
else
  loud=(test/attacks test/e2e test/quic test/roles/init/ test/roles/proxy)
  mapfile -t quiet < <(find test -name '*.test.ts' | grep -v "${loud[@]/#/-e^}" | sort)
  half quiet "${quiet[@]/#/./}" > /dev/null &
  beside=$!
  half loud "${loud[@]}"
  status=$?
  wait "$beside" || status=1
  cat "$logs/quiet"
fi
count() { grep -hE "^ *[0-9]+ $1\$" "$logs"/* | awk '{ sum += $1 } END { print sum + 0 }'; }
whatFailed() { # for each, what it said: its last lines stand just above "(fail)"; all names at the end
  grep -hE -A 12 '^# Unhandled error' "$logs"/*
  grep -hE '^\(fail\)' "$logs"/* | sort -u | head -20 | while IFS= read -r line; do
    grep -hF -B 25 -m 1 -- "$line" "$logs"/* | grep -v '^(pass)'
  done
  grep -hE '^\(fail\)' "$logs"/* | sort -u
}
passed=$(count pass)
bad=$(count fail)
skipped=$(count skip)
[ "$passed" -gt 0 ] || status=1
[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
[ "$bad" -eq 0 ] || whatFailed
echo "$passed passed, $bad failed, $skipped skipped"
exit "$status"
