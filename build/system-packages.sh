#!/usr/bin/env bash
# Debian packages: what init needs in its image (util-linux, catatonit, nftables), and what tests and the demo
# bring as real counterparts. With "bench" also what benchmarks stand beside. Nothing is installed when all
# commands are there.
set -euo pipefail
declare -A packages=(
  [unshare]=util-linux [nsenter]=util-linux [catatonit]=catatonit [mmdebstrap]=mmdebstrap
  [zstd]=zstd [gzip]=gzip [tar]=tar [bsdtar]=libarchive-tools [setfattr]=attr [mkfs.ext4]=e2fsprogs [ip]=iproute2
  [tmux]=tmux [sshd]=openssh-server [ssh]=openssh-client [curl]=curl [wget]=wget [busybox]=busybox-static
  [rsync]=rsync [git]=git [ss]=iproute2 [script]=bsdutils
  [nft]=nftables [zsh]=zsh [fish]=fish [mandoc]=mandoc [buildah]=buildah
  [shellcheck]=shellcheck [vim.tiny]=vim-tiny [less]=less [htop]=htop [tic]=ncurses-bin
)
if [ "${1:-}" = bench ]; then
  packages+=([mosh-server]=mosh [socat]=socat [nginx]=nginx-core [iperf3]=iperf3 [sysctl]=procps)
fi
# `make vm-test` needs more: a machine to boot, and what its initramfs is made of.
if [ "${1:-}" = vm ]; then
  packages+=([qemu-system-x86_64]=qemu-system-x86 [socat]=socat [cpio]=cpio [depmod]=kmod [tc]=iproute2)
fi
export PATH="$PATH:/usr/sbin:/sbin"
missing=()
for command in "${!packages[@]}"; do
  command -v "$command" >/dev/null || missing+=("${packages[$command]}")
done
[ "${1:-}" != bench ] || [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: need root or sudo to install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}
install >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "error: apt-get could not install ${missing[*]}" >&2; exit 1; }
