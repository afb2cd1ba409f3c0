#!/bin/sh
# Builds kvm.ko, kvm-amd.ko and kvm-intel.ko with our patches, and one that emulated machines need, against Debian's
# headers, without root:
#
#     test/vtx/kernel/build-modules.sh OUT [KERNEL]
#
# KERNEL is a release as `uname -r` says it; left out, the newest cloud kernel of 6.12 in the package lists.
# Needs apt-get, dpkg-deb, gcc-12, make, patch, xz and libelf. Takes a few minutes and 2 GB in OUT.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
kernel=${2:-$(apt-cache depends linux-image-6.12-cloud-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)}
[ -n "$kernel" ] || { echo "no kernel package: apt-get update" >&2; exit 1; }
common=${kernel%%-amd64}
common=${common%%-cloud}
series=$(echo "$kernel" | cut -d. -f1,2)
case $series in
  6.1)
    patches="$here/rdtsc-exit-6.1.patch $here/tables-follow-6.1.patch"
    tools="linux-kbuild-6.1 linux-compiler-gcc-12-x86"
    ;;
  *)
    patches=$(ls "$here"/../../../buildroot/patches/linux/*.patch)
    tools=linux-kbuild-$common
    ;;
esac

mkdir -p "$out/debs" "$out/tree"
cd "$out/debs"
# shellcheck disable=SC2086 # the names are words
apt-get -qq download "linux-source-$series" $tools "linux-headers-$kernel" "linux-headers-$common-common"
for deb in linux-headers-*.deb linux-kbuild-*.deb linux-compiler-*.deb; do
  [ ! -e "$deb" ] || dpkg-deb -x "$deb" "$out/tree"
done
headers=$out/tree/usr/src/linux-headers-$common-common
flavour=$out/tree/usr/src/linux-headers-$kernel

# The sources of KVM, patched, inside the headers: their Makefile looks for its parts there.
dpkg-deb --fsys-tarfile "linux-source-$series"_*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
  xz -dc | tar -x -C "$headers" --strip-components=1 \
    "linux-source-$series/arch/x86/kvm" "linux-source-$series/virt" \
    "linux-source-$series/arch/x86/include/asm/kvm_host.h" "linux-source-$series/include/uapi/linux/kvm.h"
for patch in $patches; do patch -F0 -d "$headers" -p1 <"$patch"; done
# Not ours: an error of the emulator that is held off here.
patch -d "$headers" -p1 <"$here/qemu-cr-reads.patch"

# The flavour's Makefile names where Debian installs the common headers.
sed -i "s#/usr/src/#$out/tree/usr/src/#" "$flavour/Makefile"
# Types for tracing would need pahole.
nice -n 15 make -C "$flavour" M="$headers/arch/x86/kvm" CONFIG_DEBUG_INFO_BTF_MODULES= modules
for module in kvm kvm-amd kvm-intel; do
  strip --strip-debug -o "$out/$module.ko" "$headers/arch/x86/kvm/$module.ko"
done
echo "$kernel" >"$out/kernel"
echo "$out: modules for $kernel"
