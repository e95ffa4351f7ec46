#!/usr/bin/env bash
# Runs a command with mounts and processes of its own: whatever it started ends with it, also when it is interrupted.
# catatonit passes signals on, which the first process of a namespace would not hear.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
exec "$(dirname "$0")/as-root.sh" \
  unshare --mount --pid --fork --kill-child=SIGKILL --mount-proc catatonit -- "$@"
