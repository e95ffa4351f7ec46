#!/usr/bin/env bash
# Debian root filesystems, made from Debian's packages: one for the demo, two with an init that tests
# boot. Kept in .cache, for they are the same every time; made anew when this file changes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
declare -A packages=(
  [debian-bookworm]=busybox
  [debian-systemd]=systemd,systemd-sysv,dbus
  [debian-openrc]=openrc,sysvinit-core
)
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: need root or sudo to make a root filesystem" >&2; exit 1; }
  as_root=(sudo)
fi
make_rootfs() {
  partial=".cache/$1.$$.partial"
  trap 'rm -f "$partial" "$partial.log"' EXIT
  "${as_root[@]}" mmdebstrap --quiet --variant=minbase --include="${packages[$1]}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm - 2>"$partial.log" | zstd -q -1 >"$partial" ||
    { tail -n 20 "$partial.log" >&2; echo "error: mmdebstrap could not make $1" >&2; exit 1; }
  mv "$partial" ".cache/$1.tar.zst"
}
mkdir -p .cache
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${!packages[@]}")
makers=()
for name in "${names[@]}"; do
  [ -n "${packages[$name]:-}" ] || { echo "error: no root filesystem is called $name" >&2; exit 1; }
  [ ".cache/$name.tar.zst" -nt build/rootfs.sh ] && continue
  echo "making .cache/$name.tar.zst"
  (make_rootfs "$name") &
  makers+=($!)
done
status=0
for maker in "${makers[@]}"; do wait "$maker" || status=1; done
exit "$status"
