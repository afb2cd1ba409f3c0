#!/bin/sh
# QEMU 10.0 of trixie beside the machine's own, with all its libraries, without root:
#
#     test/vtx/emulators/unpack-qemu.sh OUT
#
# Leaves OUT/qemu-system-x86_64. QEMU 7.2, bookworm's, forgets the shadow of an STI at VMRUN. Ends with 3 where the
# packages cannot be had. 170 MB in OUT; does nothing where it was done.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
[ ! -x "$out/qemu-system-x86_64" ] || exit 0
tree=$(sh "$here/debian.sh" "$out" trixie program qemu-system-x86)
cat >"$out/start" <<END
#!/bin/sh
exec "$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu" \
  "$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "\$@"
END
chmod +x "$out/start"
"$out/start" --version >&2
mv "$out/start" "$out/qemu-system-x86_64"
