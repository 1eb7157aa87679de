#!/bin/sh
# Installs the S3 server of the tests (needs Go), unless it is there, and prints the program's path.
set -eu
version=v1.8.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/sleap-rtc-tests/versitygw-$version"
program="$folder/versitygw"
if [ ! -x "$program" ]; then
  command -v go >/dev/null || { echo "error: go is not installed" >&2; exit 1; }
  mkdir -p "$folder"
  build=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$build"' EXIT
  GOBIN="$build" go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
  # Renamed only when it is whole, so that two installations at once do not disturb each other.
  mv "$build/versitygw" "$program"
fi
echo "$program"
