#!/bin/sh
# Builds QEMU 7.2 with qemu-sti-shadow.patch from Debian's source package, without root:
#
#     test/vtx/emulators/build-qemu.sh OUT
#
# Leaves OUT/qemu-system-x86_64. Ends with 3 where source or tools cannot be had: apt-get, dpkg-dev, gcc, meson, ninja-build,
# patch, libglib2.0-dev, libpixman-1-dev, libfdt-dev. Takes some ten minutes on two cores and 1 GB in OUT while it builds;
# does nothing where it was done with the same patch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
patch=$here/qemu-sti-shadow.patch
mkdir -p "$1"
out=$(cd "$1" && pwd)
made=$(cat "$patch" "$0" | sha256sum | cut -d' ' -f1)
if [ -x "$out/qemu-system-x86_64" ] && [ "$(cat "$out/made" 2>/dev/null)" = "$made" ]; then exit 0; fi
for tool in dpkg-source gcc meson ninja pkg-config; do
  command -v "$tool" >/dev/null || { echo "QEMU cannot be built: no $tool here" >&2; exit 3; }
done
for library in glib-2.0 pixman-1; do
  pkg-config --exists "$library" || { echo "QEMU cannot be built: no headers of $library here" >&2; exit 3; }
done

# 7.2 is bookworm's; the patch is made for it.
description=$(sh "$here/debian.sh" "$out/source" bookworm package qemu)
rm -rf "$out/tree" "$out/build"
dpkg-source --no-check -x "$description" "$out/tree" >"$out/unpack.txt" 2>&1 || { tail -3 "$out/unpack.txt" >&2; exit 3; }
if ! patch -s -t -F0 -d "$out/tree" -p1 <"$patch" >"$out/patch.txt" 2>&1; then
  echo "the patch for QEMU 7.2 does not fit $(basename "$description"): $out/patch.txt" >&2
  exit 3
fi
mkdir "$out/build"
cd "$out/build"
nice -n 15 "$out/tree/configure" --target-list=x86_64-softmmu --without-default-features --enable-tcg --disable-docs \
  --disable-tools --disable-werror --audio-drv-list= >configure.txt 2>&1 || { tail -8 configure.txt >&2; exit 1; }
nice -n 15 ninja -j2 qemu-system-x86_64 >make.txt 2>&1 || { tail -20 make.txt >&2; exit 1; }
# Its BIOS is the machine's own QEMU's.
strip -o "$out/program" qemu-system-x86_64
cat >"$out/start" <<END
#!/bin/sh
exec "$out/program" -L /usr/share/seabios -L /usr/share/qemu "\$@"
END
chmod +x "$out/start"
"$out/start" --version >&2
mv "$out/start" "$out/qemu-system-x86_64"
echo "$made" >"$out/made"
rm -rf "$out/build" "$out/tree"
