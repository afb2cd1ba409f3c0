#!/bin/sh
# Buildroot runs this on the finished target folder, before the root file system is made.
#   $1 target folder; BR2_CONFIG, BINARIES_DIR from Buildroot; TWINSTEP_KEYRING from the environment
set -eu

target="$1"
board=$(cd "$(dirname "$0")" && pwd)

option() {
	sed -n "s/^$1=\"\(.*\)\"\$/\1/p" "$BR2_CONFIG"
}

# Mount points and links of a root that is never written
mkdir -p "$target/data" "$target/boot-efi" "$target/var/lib"
ln -sfn /data/twinstep "$target/etc/twinstep"
ln -sfn /data/twinstep/state "$target/var/lib/twinstep"
for gone in init.d/S15watchdog init.d/S20urandom init.d/S20seedrng init.d/S40network; do
	rm -f "$target/etc/$gone"
done

# Of GRUB's tools the board needs one; the first stage goes into the image
if [ -f "$target/lib/grub/i386-pc/boot.img" ]; then
	cp -f "$target/lib/grub/i386-pc/boot.img" "$BINARIES_DIR/boot.img"
	find "$target/bin" "$target/sbin" "$target/usr/bin" "$target/usr/sbin" \
		-name 'grub-*' ! -name grub-editenv -exec rm -f {} +
	rm -rf "$target/lib/grub" "$target/boot/grub" "$target/etc/grub.d" "$target/share/grub" \
		"$target/usr/share/grub"
fi

# Whose updates this image takes
keyring="${TWINSTEP_KEYRING:-$(option BR2_PACKAGE_TWINSTEP_KEYRING)}"
if [ ! -s "$keyring" ]; then
	echo "post-build: no certificates for updates: set BR2_PACKAGE_TWINSTEP_KEYRING or TWINSTEP_KEYRING" >&2
	exit 1
fi
if grep -q 'PRIVATE KEY' "$keyring"; then
	echo "post-build: $keyring holds a private key; the image gets certificates alone" >&2
	exit 1
fi
install -D -m 644 "$keyring" "$target/etc/rauc/keyring.pem"

version=$(sed -n 's/^TWINSTEP_VERSION = //p' "$board/../../package/twinstep/twinstep.mk")
cat >"$target/usr/lib/os-release" <<EOF
NAME="Twinstep"
ID=twinstep
VERSION="${TWINSTEP_IMAGE_VERSION:-$version}"
EOF
ln -sf ../usr/lib/os-release "$target/etc/os-release"
