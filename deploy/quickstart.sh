#!/usr/bin/env bash
# From a clone to a running pipeline on a Debian 12 machine: packages, build, demo. Arguments go to `sluice demo`
# (--exit: stop after the first complete run).
set -euo pipefail
cd "$(dirname "$0")/.."

./deploy/install-packages.sh build
cmake --preset release -DSLUICE_BENCH=OFF >build-release.log 2>&1 || { cat build-release.log; exit 1; }
rm -f build-release.log
echo "building sluice (some minutes the first time)"
cmake --build --preset release --target sluice sluice-sandbox
exec ./build/release/sluice demo "$@"
