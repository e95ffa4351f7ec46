#!/usr/bin/env bash
# Namespaces, mounts and owners are what is shown and tested: that takes root.
set -euo pipefail
[ "$(id -u)" -ne 0 ] || exec "$@"
command -v sudo >/dev/null || { echo "error: need root or sudo" >&2; exit 1; }
exec sudo --preserve-env=CI,FV_SEED env "PATH=$PATH" "$@"
