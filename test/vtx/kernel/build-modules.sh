#!/bin/sh
# Builds kvm.ko, kvm-amd.ko and kvm-intel.ko with our patch against Debian's headers, without root:
#
#     native/vtx/kernel/build-modules.sh OUT [KERNEL]
#
# KERNEL is a release as `uname -r` says it; left out, the newest cloud kernel of the package lists.
# Needs apt-get, dpkg-deb, gcc-12, make, patch, xz and libelf. Takes a few minutes and 1 GB in OUT.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
kernel=${2:-$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)}
common=$(echo "$kernel" | sed -E 's/^([0-9.]+-[0-9]+).*/\1/')-common
[ -n "$kernel" ] || { echo "no kernel package: apt-get update" >&2; exit 1; }

mkdir -p "$out/debs" "$out/tree"
cd "$out/debs"
apt-get -qq download linux-source-6.1 linux-kbuild-6.1 linux-compiler-gcc-12-x86 \
  "linux-headers-$kernel" "linux-headers-$common"
for deb in linux-headers-*.deb linux-kbuild-*.deb linux-compiler-*.deb; do
  dpkg-deb -x "$deb" "$out/tree"
done
headers=$out/tree/usr/src/linux-headers-$common
flavour=$out/tree/usr/src/linux-headers-$kernel

# The sources of KVM, patched, inside the headers: their Makefile looks for its parts there.
dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
  xz -dc | tar -x -C "$headers" --strip-components=1 \
    linux-source-6.1/arch/x86/kvm linux-source-6.1/virt \
    linux-source-6.1/arch/x86/include/asm/kvm_host.h linux-source-6.1/include/uapi/linux/kvm.h
patch -d "$headers" -p1 <"$here/0001-kvm-x86-rdtsc-exit.patch"

# The flavour's Makefile names where Debian installs the common headers.
sed -i "s#/usr/src/#$out/tree/usr/src/#" "$flavour/Makefile"
nice -n 15 make -C "$flavour" M="$headers/arch/x86/kvm" modules
for module in kvm kvm-amd kvm-intel; do
  strip --strip-debug -o "$out/$module.ko" "$headers/arch/x86/kvm/$module.ko"
done
echo "$out: modules for $kernel"
