#!/usr/bin/env bash
# Installs what the named purposes need (see packages.txt): install-packages.sh build [test] [bench] [sanitizers]
# Does nothing, and needs no root, where everything is there already.
set -euo pipefail
cd "$(dirname "$0")"

wanted=$(awk -v purposes=" $* " '
  /^#/ || /^$/ {next}
  /^\[/ {on = index(purposes, " " substr($0, 2, length($0) - 2) " "); next}
  on' packages.txt | sort -u)
missing=$(for package in $wanted; do
  dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
done)
[ -z "$missing" ] && exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "these packages are missing and need root to install:" $missing >&2; exit 1; }
  sudo=sudo
fi
echo "installing:" $missing
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
