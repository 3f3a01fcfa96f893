#!/usr/bin/env bash
# Makes sluice_VERSION_ARCH.deb from what is built already and prints its path; compiles nothing.
#   deploy/package.sh [BUILD_DIRECTORY [OUTPUT_DIRECTORY [VERSION]]]     build/release, the same, the project's
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build/release}
output=${2:-$build}
[ -x "$build/sluice" ] && [ -x "$build/sluice-sandbox" ] || {
  echo "$build holds no sluice: cmake --preset release && cmake --build --preset release --target sluice sluice-sandbox" >&2
  exit 1
}
./deploy/install-packages.sh package >&2
cmake -B "$build" . >"$build/package.log" 2>&1 || { cat "$build/package.log" >&2; exit 1; }
cpack --config "$build/CPackConfig.cmake" -B "$output" ${3:+-R "$3"} >"$build/package.log" 2>&1 ||
  { cat "$build/package.log" >&2; exit 1; }
sed -n 's/^CPack: - package: \(.*\) generated\.$/\1/p' "$build/package.log"
