#!/usr/bin/env bash
# Namespaces, mounts and owners are what is shown and tested: that takes root.
set -euo pipefail
[ "$(id -u)" -ne 0 ] || exec "$@"
command -v sudo >/dev/null || { echo "error: need root or sudo" >&2; exit 1; }
# What a run was told by its environment, it is told as root as well.
told=$(compgen -v | grep -E '^(CI|FV_[A-Z_]+|ROUNDS|PART|BASE|SOURCE)$' | paste -sd, || true)
exec sudo ${told:+--preserve-env="$told"} env "PATH=$PATH" "$@"
