#!/bin/sh
# Builds Bochs with the PMU of bochs-pmu.patch from Debian's source package, without root:
#
#     test/vtx/emulators/build-bochs.sh OUT
#
# Leaves OUT/bochs. Ends with 3 where the source cannot be had, or is of another version. Needs apt-get, g++, make, patch and xz.
# Takes four minutes on two cores and 200 MB in OUT; does nothing where OUT/bochs is of the same patch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
patch=$here/bochs-pmu.patch
mkdir -p "$1"
out=$(cd "$1" && pwd)
made=$(cat "$patch" "$0" | sha256sum | cut -d' ' -f1)
if [ -x "$out/bochs" ] && [ "$(cat "$out/made" 2>/dev/null)" = "$made" ]; then exit 0; fi

# 3.0 is trixie's; the patch is made for it.
tarball=$(sh "$here/debian.sh" "$out/source" trixie source bochs)
rm -rf "$out/bochs" "$out/tree" "$out/build"
mkdir -p "$out/tree" "$out/build"
xz -dc "$tarball" | tar -x -C "$out/tree" --strip-components=1
if ! patch -s -t -F0 -d "$out/tree" -p1 <"$patch" >"$out/patch.txt" 2>&1; then
  echo "the patch for Bochs 3.0 does not fit $(basename "$tarball"): $(grep -c 'hunk' "$out/patch.txt") files differ, $out/patch.txt" >&2
  exit 3
fi

# Without the debugger, which Debian's has, so that one instruction may follow the other at once.
cd "$out/build"
nice -n 15 "$out/tree/configure" --with-rfb --without-x11 --without-wx --without-sdl --without-sdl2 \
  --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-vmx=2 --enable-pci --enable-cdrom \
  --enable-a20-pin --enable-all-optimizations --disable-plugins --disable-docbook >configure.txt 2>&1 ||
  { tail -3 configure.txt >&2; exit 1; }
nice -n 15 make -j2 >make.txt 2>&1 || { tail -20 make.txt >&2; exit 1; }
strip -o "$out/bochs" bochs
echo "$made" >"$out/made"
rm -rf "$out/build"
