#!/bin/sh
# Throw-away keys for trying updates: a certificate authority and a signer, valid for ten years.
#   test-keys.sh FOLDER      makes ca.cert.pem, ca.key.pem, signer.cert.pem, signer.key.pem there
# For the field, keep the authority's key off-line and give the build ca.cert.pem alone.
set -eu

folder="${1:?usage: test-keys.sh FOLDER}"
tree=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
case "$folder/" in
	"$tree"/*)
		echo "test-keys: $folder is inside the tree; keys never are" >&2
		exit 1
		;;
esac
umask 077
cd "$folder"

openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/O=Twinstep test/CN=Twinstep test CA" \
	-addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
	-keyout ca.key.pem -out ca.cert.pem 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/O=Twinstep test/CN=Twinstep test signer" \
	-keyout signer.key.pem -out signer.csr.pem 2>/dev/null
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,emailProtection\n' >signer.ext
openssl x509 -req -in signer.csr.pem -CA ca.cert.pem -CAkey ca.key.pem -CAcreateserial \
	-days 3650 -extfile signer.ext -out signer.cert.pem 2>/dev/null
rm -f signer.csr.pem signer.ext ca.cert.srl
echo "$folder"
