#!/usr/bin/env bash
# Builds the fuzz targets and runs them from their kept corpus: tests/fuzz/run.sh [SECONDS [NAME…]]
# SECONDS: of each, 15 if not given. What it finds is left in build/fuzz/findings. PRESET=asan takes those of the tests'
# build, which are slower.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-15}
export preset=${PRESET:-fuzz}
export patience=10   # seconds for one input
[ "$preset" = fuzz ] || patience=60
shift || true
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
# Whoever symbolizes a stack needs it by this name.
export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-$(command -v llvm-symbolizer-14 || true)}

names=("$@")
if [ ${#names[@]} = 0 ]; then
  for source in tests/fuzz/*.cpp; do
    name=$(basename "$source" .cpp)
    [[ $name == *_test ]] || names+=("$name")
  done
fi

./deploy/install-packages.sh build sanitizers
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build --preset "$preset" --target "${names[@]/#/fuzz_}" >"$log" 2>&1 || { tail -n 100 "$log"; exit 1; }

fuzz() {  # SECONDS NAME: a line of what came of it, after the end of what it said where it failed
  local seconds=$1 name=$2 verdict=ok said runs reached
  mkdir -p build/fuzz/findings "build/fuzz/corpus/$name"
  # New inputs that reach new code go to the first folder, where the next run finds them.
  said=$("build/$preset/tests/fuzz_$name" -max_total_time="$seconds" -timeout="$patience" -rss_limit_mb=2048 \
    -artifact_prefix="build/fuzz/findings/$name-" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" 2>&1) ||
    { verdict=FAILED; said=$(tail -n 60 <<<"$said"); echo "$said"; }
  runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' <<<"$said")
  reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' <<<"$said" | tail -n 1)
  printf '%-16s %-6s %10s runs  %6s places reached\n' "$name" "$verdict" "${runs:-?}" "${reached:-?}"
}
export -f fuzz
# As many side by side as there are cores.
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I NAME bash -c "fuzz $seconds NAME" | tee "$log"
passed=$(grep -cE '^[a-z_]+ +ok +[0-9?]+ runs' "$log" || true)
failed=$((${#names[@]} - passed))
echo "$passed fuzz targets hold, $failed do not"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
