#!/usr/bin/env bash
# What the README promises: on a Debian machine with node, npm, make and root (or sudo), and nothing else, its two
# commands pass: `make demo` for a user with sudo, `make test` for root. The machine is made for this run, with mounts
# and processes of its own, has the last commit and not what lies about here, and is gone afterwards. With arguments:
# only those targets of make.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
[ "$(id -u)" -eq 0 ] || exec sudo build/clean-machine.sh "$@"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo test)
machine=$(mktemp -d /var/tmp/clean-machine.XXXXXX)
# Its mounts are seen in its own namespace alone, and went with the last process of it.
trap 'rm -rf --one-file-system "$machine"' EXIT

install_debian() {
  # With mounts that nobody else sees, and that go with it.
  unshare --mount --pid --fork --kill-child --mount-proc \
    mmdebstrap --quiet --variant=minbase --include=nodejs,npm,make,ca-certificates,sudo \
    bookworm "$machine" "${sources[@]}"
}

# Packages come from where this computer has them from, by the same proxies and certificates.
find_sources() {
  sources=()
  . /etc/os-release
  [ "${VERSION_CODENAME:-}" = bookworm ] || return 0
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [ ! -s "$file" ] || sources+=("$file")
  done
}

configure_packages() {
  apt-config dump --no-empty | { grep -E '^Acquire::(https?|Check|Retries)' || true; } \
    >"$machine/etc/apt/apt.conf.d/99clean-machine"
  cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
  cp -R /usr/local/share/ca-certificates/. "$machine/usr/local/share/ca-certificates/"
  chroot "$machine" update-ca-certificates >/dev/null 2>&1
  echo "registry=$(npm config get registry)" | tee "$machine/root/.npmrc" >"$machine/home/me/.npmrc"
}

add_user() {
  chroot "$machine" useradd --create-home --shell /bin/bash me
  echo "me ALL=(ALL) NOPASSWD: ALL" >"$machine/etc/sudoers.d/me"
}

clone_for() { # HOME OWNER
  git clone --quiet --depth 1 "file://$PWD" "$machine$1/fly-vault"
  chroot "$machine" chown --recursive "$2:$2" "$1"
}

# As a machine that has booted: a root of its own (not a chroot, out of which root can climb, and in which the kernel
# allows no user namespaces), and the kernel's file systems.
enter='
  mount --bind "$0" "$0"
  cd "$0"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount -t devtmpfs devtmpfs dev
  mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount -t tmpfs -o mode=755 tmpfs run
  pivot_root . mnt
  umount --lazy mnt
  cd "$2/fly-vault"
  exec setpriv --reuid "$1" --regid "$1" --init-groups \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$2" LANG=C.UTF-8 make "$3"
'

echo "making a Debian machine with node, npm and make"
find_sources
install_debian
add_user
configure_packages
clone_for /root root
clone_for /home/me me
for target in "${targets[@]}"; do
  if [ "$target" = demo ]; then who=(me /home/me); else who=(root /root); fi
  echo "${who[0]}: make $target"
  unshare --mount --pid --fork --kill-child bash -ec "$enter" "$machine" "${who[@]}" "$target" </dev/null
done
