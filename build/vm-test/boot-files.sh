#!/usr/bin/env bash
# What a virtual machine boots: Debian's own kernel for clouds, and an initramfs with its drivers and with Fly's side
# of a machine. Kept in .cache/vm; the initramfs is made anew when anything here changes.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/sbin:/sbin"
cache=../../.cache/vm
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# What it takes to reach the disks and the network, what init's firewall needs, and weather for the network.
modules=(virtio_pci virtio_blk virtio_net virtio-rng overlay
  nf_tables nft_ct nft_reject_inet
  sch_netem ifb act_mirred cls_matchall sch_ingress)

package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
[ -n "$package" ] || { echo "error: apt knows no linux-image-cloud-amd64; run apt-get update" >&2; exit 1; }
release=${package#linux-image-}
kernel=$cache/$release
if [ ! -e "$kernel/boot/vmlinuz-$release" ]; then
  echo "fetching Debian's $package"
  rm -rf "$kernel"
  mkdir -p "$kernel.partial"
  (cd "$kernel.partial" && apt-get download -q "$package" 2>&1 && dpkg-deb -x ./*.deb . && rm ./*.deb) >"$cache/log" ||
    { tail -n 5 "$cache/log" >&2; exit 1; }
  depmod -b "$kernel.partial" "$release"
  mv "$kernel.partial" "$kernel"
fi
ln -sf "$release/boot/vmlinuz-$release" "$cache/vmlinuz"

image=$cache/initramfs
for source in guest/init guest/pid1 boot-files.sh "$kernel"; do
  [ "$image" -nt "$source" ] || rm -f "$image"
done
[ -e "$image" ] && exit 0

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,root,dev,proc,sys,modules,fly/lib}
cp guest/init "$tree/init"
cp guest/pid1 "$tree/fly/pid1"
cp "$(command -v busybox)" "$tree/bin/busybox"
cp "$(command -v busybox)" "$tree/fly/busybox"
for program in socat tc; do
  cp "$(command -v "$program")" "$tree/fly/$program"
  ldd "$tree/fly/$program" | grep -o '/[^ ]*\.so[^ ]*' | xargs -I{} cp -Lu {} "$tree/fly/lib/"
done
for module in "${modules[@]}"; do
  modprobe -d "$kernel" -S "$release" --show-depends "$module"
done | awk '/^insmod/ && !seen[$2]++ { print $2 }' | while read -r file; do
  cp "$file" "$tree/modules/"
  basename "$file" >>"$tree/modules/order"
done
chmod 755 "$tree/init"
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$image.partial"
mv "$image.partial" "$image"
