#!/usr/bin/env bash
# Runs all tests and ends with one line: "N passed, N failed, N skipped". Mutated bytes and lost power take
# nothing but time of one processor: they run beside the others. With arguments, as `bun test` with those.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
  # Namespaces, mounts and owners are what is tested: that takes root.
  exec sudo --preserve-env=PATH,CI,FV_SEED env "PATH=$PATH" "$0" "$@"
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
suite() { # NAME ARGUMENT...
  bun test --timeout 60000 "${@:2}" > "$logs/$1" 2>&1
}
if [ $# -gt 0 ]; then
  suite all "$@" &
  tail -n +1 -f --pid=$! "$logs/all" 2> /dev/null
  wait $!
  status=$?
else
  patient=(test/fuzz test/support/fuzz.test.ts crash-images)
  mapfile -t others < <(find test -name '*.test.ts' | grep -v -e '^test/fuzz/' -e '^test/support/fuzz.test.ts' -e crash-images | sort)
  suite patient "${patient[@]}" &
  beside=$!
  suite others "${others[@]/#/./}" &
  main=$!
  tail -n +1 -f --pid=$main "$logs/others" 2> /dev/null
  wait "$main"
  status=$?
  wait "$beside" || status=1
  cat "$logs/patient"
fi
count() { grep -hE "^ *[0-9]+ $1\$" "$logs"/* | awk '{ sum += $1 } END { print sum + 0 }'; }
passed=$(count pass)
bad=$(count fail)
skipped=$(count skip)
[ "$passed" -gt 0 ] || status=1
[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
echo "$passed passed, $bad failed, $skipped skipped"
exit "$status"
