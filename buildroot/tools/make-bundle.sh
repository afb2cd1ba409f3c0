#!/bin/sh
# Signs an update: a verity bundle of one root file system.
#   make-bundle.sh ROOTFS.squashfs VERSION CERT KEY KEYRING OUT.raucb
# KEY may be a PKCS#11 URI. The keyring is the one inside the boards, so that a bundle they would
# refuse is refused here. RAUC names another program: RAUC=output/host/bin/rauc
set -eu

if [ "$#" -ne 6 ]; then
	sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
rootfs="$1" version="$2" cert="$3" key="$4" keyring="$5" out="$6"
rauc="${RAUC:-rauc}"
manifest="$(dirname "$0")/../board/twinstep/manifest.raucm.in"

case "$version" in
	*[!A-Za-z0-9.+-]* | "")
		echo "make-bundle: \"$version\" is no version" >&2
		exit 2
		;;
esac
content=$(mktemp -d)
trap 'rm -rf "$content"' EXIT
ln "$rootfs" "$content/rootfs.squashfs" 2>/dev/null || cp "$rootfs" "$content/rootfs.squashfs"
sed "s/@VERSION@/$version/" "$manifest" >"$content/manifest.raucm"
rm -f "$out"
"$rauc" bundle --cert="$cert" --key="$key" --keyring="$keyring" "$content" "$out"
"$rauc" info --keyring="$keyring" "$out" >/dev/null
