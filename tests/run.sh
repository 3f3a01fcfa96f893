#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, prints one line of totals.
#   tests/run.sh        the test programs under AddressSanitizer and UndefinedBehaviorSanitizer; what runs sluice as it is
#                       shipped (deploy, faults) with the release build
#   tests/run.sh dev    all of them with the dev build: quicker
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-asan} in
  asan) preset=asan shipped=release purposes="build test sanitizers" ;;
  dev) preset=dev shipped=dev purposes="build test" ;;
  *) echo "tests/run.sh [dev]" >&2; exit 2 ;;
esac
# Not detect_stack_use_after_return: what it keeps of the frames of coroutines makes some tests take minutes.
export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export SLUICE_BUILD=$PWD/build/$shipped   # for the tests in Python

./deploy/install-packages.sh $purposes
log=$(mktemp)
export said=$log.said
mkdir "$said"   # what each test program says, and a line "passed failed skipped" of each
trap 'rm -rf "$log"*' EXIT
build() {  # PRESET [CMAKE_OPTION…]
  local out=$log.$1
  echo "building: $1"
  cmake --preset "$@" >"$out" 2>&1 || { cat "$out"; return 1; }
  if [ -t 1 ] && [ "$1" = "$shipped" ]; then cmake --build --preset "$1"; return; fi   # ninja shows how far it is
  cmake --build --preset "$1" >"$out" 2>&1 || { grep -A 30 '^FAILED' "$out" | head -n 200; return 1; }
}

report() {  # NAME VERDICT TOTAL BAD SKIPPED SECONDS
  printf '%-22s %-6s %4d tests  %3d s\n' "$1" "$2" "$3" "$6"
  echo "$(($3 - $4 - $5)) $4 $5" >>"$said/totals"
}
failures() {  # XML: its test cases that failed, whole
  [ ! -f "$1" ] || awk '/<testcase /{text = ""; bad = 0} {text = text $0 "\n"} /<(failure|error) /{bad = 1}
                       /<\/testcase>/ && bad {printf "%s", text}' "$1"
}
run() {  # a test program, or a file of tests in Python
  local file=$1 name started=$SECONDS verdict=ok total bad skipped=0 out
  name=$(basename "$file") out=$said/$name
  if [[ $file == *.py ]]; then
    name=$(basename "$(dirname "$file")")/${name%.py}
    timeout 2400 /usr/bin/python3 "$file" -v >"$out" 2>&1 || verdict=FAILED   # Debian's, whose packages are there
    total=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} .*/\1/p' "$out")
    skipped=$(sed -n 's/^\(OK\|FAILED\) (.*skipped=\([0-9]*\).*/\2/p' "$out")
    total=$((total + $(grep -c '^setUpClass (.*skipped' "$out" || true)))   # a class as a whole: of no test it is said
    sed -n "s/.*\.\.\. \(skipped '.*\)/\1/p" "$out" | sort | uniq -c
    bad=$(sed -n 's/^\(FAIL\|ERROR\): \([^ ]*\) .*/\2/p' "$out" | sort -u | wc -l)
  else
    timeout 2400 "$file" --reporter junit --out "$out.xml" >"$out" 2>&1 || verdict=FAILED
    total=$(grep -c '<testcase ' "$out.xml" 2>/dev/null || true)
    bad=$(awk '/<testcase /{open=1} open && /<(failure|error) /{n++; open=0} END{print n+0}' "$out.xml" 2>/dev/null || echo 0)
  fi
  if [ "$verdict" = FAILED ]; then
    [ "$bad" -gt 0 ] || bad=1   # it crashed, ran out of time, or could not begin
    { cat "$out"; failures "$out.xml"; } | tail -n 200
  fi
  total=${total:-0} skipped=${skipped:-0}
  [ "$total" -ge "$bad" ] || total=$bad
  report "$name" "$verdict" "$total" "$bad" "$skipped" $((SECONDS - started))
}
export -f report failures run
together() {  # A line's files one after the other, as many lines side by side as there are cores
  xargs -P "$(nproc)" -I FILES bash -c 'for file in FILES; do run "$file"; done'
}

build "$shipped" $([ "$shipped" = "$preset" ] || echo -DSLUICE_BENCH=OFF)
# What is shipped is tried while the sanitized build, which gives way to it, goes on.
[ "$shipped" = "$preset" ] || { renice -n 10 $BASHPID >/dev/null; build "$preset"; } &
# The containers of deploy/ have this machine's ports, so there is one at a time.
{ echo tests/deploy/test_*.py; ls tests/faults/test_*.py; } | together
wait $!
# What takes longest comes first.
tests=build/$preset/tests
{
  printf '%s\n' "$tests"/test_{program,sinks}
  find "$tests" -maxdepth 1 -name 'test_*' -type f -executable ! -name test_program ! -name test_sinks | sort
} | together
awk '{passed += $1; failed += $2; skipped += $3}
     END {printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || passed == 0}' "$said/totals"
