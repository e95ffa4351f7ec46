#!/usr/bin/env bash
# The toolchain comes from npm, by exact version. No install scripts are run: Bun's, which moves its binary into
# place, by hand where it is missing; those of ssh2 would build native add-ons that nothing here uses. `npm install
# --no-save` takes the versions of the lock file as `npm ci` does, but bears a registry that lacks other platforms'
# binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
if ! node_modules/.bin/bun --version >/dev/null 2>&1; then
  # npm passes over an optional package that it could not fetch or verify; install.js would then fetch one itself,
  # and verify nothing.
  compgen -G 'node_modules/@oven/bun-*/bin/bun*' >/dev/null ||
    { echo "error: npm has not brought Bun for this computer; rm -rf node_modules, and try again" >&2; exit 1; }
  (cd node_modules/bun && node install.js)
fi
echo "bun $(node_modules/.bin/bun --version) from npm is ready"
