#!/bin/sh
# Debian packages of another release than this machine's, with the machine's own mirror, without root and without
# touching the machine's apt, which checks signatures and hashes:
#
#     test/vtx/emulators/debian.sh FOLDER SUITE source PACKAGE    # prints the path of the upstream tarball
#     test/vtx/emulators/debian.sh FOLDER SUITE package PACKAGE   # prints the path of the .dsc, Debian's patches beside it
#     test/vtx/emulators/debian.sh FOLDER SUITE program PACKAGE   # prints a folder with it and all its libraries
#
# Ends with 3 where it cannot be had.
set -eu
suite=$2
kind=$3
package=$4
none() {
  echo "the $kind of $package cannot be had: $1" >&2
  exit 3
}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null || none "no apt-get here"
[ -r "$keys" ] || none "no $keys: install debian-archive-keyring"
mirror=$(apt-get indextargets --no-release-info --format "\$(REPO_URI)" "Created-By: Packages" | grep -m1 '/debian/*$') ||
  none "apt knows no mirror of Debian"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/apt/parts"
case $kind in
  source | package) type=deb-src ;;
  *) type=deb ;;
esac
echo "$type [signed-by=$keys] $mirror $suite main" >"$folder/apt/sources.list"
apt() {
  command=$1
  shift
  "$command" -o Dir::Etc::sourcelist="$folder/apt/sources.list" -o Dir::Etc::sourceparts="$folder/apt/parts" \
    -o Dir::State="$folder/apt" -o Dir::State::lists="$folder/apt/lists" -o Dir::State::status=/dev/null \
    -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}
cd "$folder"
words=$(apt apt-get -qq update 2>&1) || none "$words"

if [ "$kind" = program ]; then
  words=$(apt apt-get -qq -y --no-install-recommends --download-only install "$package" 2>&1) || none "$words"
  rm -rf "$folder/tree"
  mkdir "$folder/tree"
  for deb in "$folder"/apt/cache/archives/*.deb; do
    [ -e "$deb" ] || none "$words"
    dpkg-deb -x "$deb" "$folder/tree"
  done
  apt apt-get clean
  echo "$folder/tree"
  exit 0
fi

# Of apt's `update` a mirror that does not answer is only a warning.
apt apt-cache showsrc "$package" 2>/dev/null | grep -q "^Package: $package\$" ||
  none "no $package among the sources of $suite at $mirror${words:+ ($words)}"
if [ "$kind" = package ]; then
  words=$(apt apt-get -qq --download-only source "$package" 2>&1) || none "$words"
  description=$(find "$folder" -maxdepth 1 -name "${package}_*.dsc" | head -1)
  [ -n "$description" ] || none "apt-get source left no description${words:+ ($words)}"
  echo "$description"
  exit 0
fi
words=$(apt apt-get -qq --download-only --tar-only source "$package" 2>&1) || none "$words"
tarball=$(find "$folder" -maxdepth 1 -name "${package}_*.orig.tar.*" | head -1)
[ -n "$tarball" ] || none "apt-get source left no tarball${words:+ ($words)}"
echo "$tarball"
