#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, prints one line of totals.
#   tests/run.sh        the test programs under AddressSanitizer and UndefinedBehaviorSanitizer; what runs sluice as it is
#                       shipped (deploy, faults) with the release build
#   tests/run.sh dev    all of them with the dev build: quicker
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-asan} in
  asan) preset=asan shipped=release ;;
  dev) preset=dev shipped=dev ;;
  *) echo "tests/run.sh [dev]" >&2; exit 2 ;;
esac
# Not detect_stack_use_after_return: what it keeps of the frames of coroutines makes some tests take minutes.
export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export SLUICE_BUILD=$PWD/build/$shipped   # for the tests in Python

./deploy/install-packages.sh build test
log=$(mktemp)
export said=$log.said
mkdir "$said"   # what each test program says, and a line "passed failed" of each
trap 'rm -rf "$log" "$said"' EXIT
build() {  # PRESET [CMAKE_OPTION…]
  cmake --preset "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }
  if [ -t 1 ]; then cmake --build --preset "$1"; else cmake --build --preset "$1" -- --quiet; fi
}
echo "building the tests ($preset)"
build "$preset"
[ "$shipped" = "$preset" ] || { echo "building sluice ($shipped)"; build "$shipped" -DSLUICE_BENCH=OFF; }

report() {  # NAME VERDICT TOTAL BAD SECONDS
  printf '%-22s %-6s %4d tests  %3d s\n' "$1" "$2" "$3" "$5"
  echo "$(($3 - $4)) $4" >>"$said/totals"
}
test_program() {  # PROGRAM
  local name started=$SECONDS verdict=ok total bad out
  name=$(basename "$1") out=$said/$name
  timeout 1200 "$1" --reporter junit --out "$out.xml" >"$out" 2>&1 || verdict=FAILED
  total=$(grep -c '<testcase ' "$out.xml" 2>/dev/null || true)
  bad=$(awk '/<testcase /{open=1} open && /<(failure|error) /{n++; open=0} END{print n+0}' "$out.xml" 2>/dev/null || echo 0)
  if [ "$verdict" = FAILED ]; then
    [ "$bad" -gt 0 ] || bad=1   # it crashed, or ran out of time
    cat "$out" "$out.xml" 2>/dev/null | tail -n 200
  fi
  [ "${total:-0}" -ge "$bad" ] || total=$bad
  report "$name" "$verdict" "${total:-0}" "$bad" $((SECONDS - started))
}
export -f report test_program
# As many side by side as there are cores; the one that takes longest first.
tests=build/$preset/tests
{ echo "$tests/test_scheduler"; find "$tests" -maxdepth 1 -name 'test_*' -type f -executable ! -name test_scheduler | sort; } |
  xargs -P "$(nproc)" -I PROGRAM bash -c 'test_program PROGRAM'
for file in tests/deploy/test_*.py tests/faults/test_*.py; do   # by Debian's Python, whose packages are there
  started=$SECONDS verdict=ok
  timeout 1200 /usr/bin/python3 "$file" >"$log" 2>&1 || verdict=FAILED
  grep '^skipped' "$log" || true
  total=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} .*/\1/p' "$log")
  bad=$(sed -n 's/^\(FAIL\|ERROR\): \([^ ]*\) .*/\2/p' "$log" | sort -u | wc -l)
  if [ "$verdict" = FAILED ]; then
    [ "$bad" -gt 0 ] || bad=1
    tail -n 200 "$log"
  fi
  [ "${total:-0}" -ge "$bad" ] || total=$bad   # it could not begin
  report "$(basename "$(dirname "$file")")/$(basename "$file" .py)" "$verdict" "${total:-0}" "$bad" $((SECONDS - started))
done
awk '{passed += $1; failed += $2} END {print passed+0 " passed, " failed+0 " failed"; exit failed > 0 || passed == 0}' "$said/totals"
