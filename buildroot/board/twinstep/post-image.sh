#!/bin/sh
# Buildroot runs this when all parts are there: puts GRUB and its counters in place and makes the
# disk image. BINARIES_DIR and BUILD_DIR from Buildroot.
set -eu

board=$(cd "$(dirname "$0")" && pwd)
images="$BINARIES_DIR"
work="$BUILD_DIR/twinstep-image"

# write_sector FILE OFFSET SECTOR: a sector number as GRUB reads it, eight bytes, lowest first
write_sector() {
	printf '%b' "$(printf '\\0%03o\\0%03o\\0\\0\\0\\0\\0\\0' $(($3 % 256)) $(($3 / 256 % 256)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# The second stage lies in its own partition, 1 MiB into the disk (genimage.cfg): sector 2048. The
# first stage has the place of the second at byte 92, the second that of its rest at byte 500.
write_sector "$images/boot.img" 92 2048
write_sector "$images/grub.img" 500 2049

# The boot partition: configuration and a fresh environment of GRUB's fixed size, both slots good
efi="$images/efi-part/EFI/BOOT"
cp -f "$board/grub.cfg" "$efi/grub.cfg"
{
	printf '# GRUB Environment Block\n'
	printf 'ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\n'
	printf '%1024s' '' | tr ' ' '#'
} | head -c 1024 >"$efi/grubenv"

rm -rf "$work"
mkdir -p "$work/root"
genimage --rootpath "$work/root" --tmppath "$work/tmp" \
	--inputpath "$images" --outputpath "$images" --config "$board/genimage.cfg"
