#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, prints one line of totals.
#   tests/run.sh          the tests
#   tests/run.sh asan     the same under AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-dev}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

./deploy/install-packages.sh build test
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ "$preset" = asan ]; then export SLUICE_CRON_QUICK=1; fi
cmake --preset "$preset" >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build --preset "$preset"

passed=0 failed=0
for program in build/"$preset"/tests/test_*; do
  [ -x "$program" ] && [ -f "$program" ] || continue
  name=$(basename "$program")
  started=$SECONDS
  if timeout 1200 "$program" --reporter junit --out "$log.xml" >"$log" 2>&1; then verdict=ok; else verdict=FAILED; fi
  total=$(grep -c '<testcase ' "$log.xml" 2>/dev/null || true)
  bad=$(awk '/<testcase /{open=1} open && /<(failure|error) /{n++; open=0} END{print n+0}' "$log.xml" 2>/dev/null || echo 0)
  if [ "$verdict" = FAILED ]; then
    [ "$bad" -gt 0 ] || bad=1   # it crashed, or ran out of time
    cat "$log" "$log.xml" 2>/dev/null | tail -n 200
  fi
  printf '%-20s %-6s %4d tests  %3d s\n' "$name" "$verdict" "$total" $((SECONDS - started))
  rm -f "$log.xml"
  passed=$((passed + total - bad)) failed=$((failed + bad))
done
for file in tests/deploy/test_*.py; do   # with the usual build; by Debian's Python, whose packages are there
  [ "$preset" != asan ] || break
  name=$(basename "$file" .py)
  started=$SECONDS
  if timeout 1200 /usr/bin/python3 "$file" >"$log" 2>&1; then verdict=ok; else verdict=FAILED; fi
  grep '^skipped' "$log" || true
  total=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} .*/\1/p' "$log")
  total=${total:-0}
  bad=$(sed -n 's/^\(FAIL\|ERROR\): \([^ ]*\) .*/\2/p' "$log" | sort -u | wc -l)
  if [ "$verdict" = FAILED ]; then
    [ "$bad" -gt 0 ] || bad=1
    tail -n 200 "$log"
  fi
  [ "$total" -ge "$bad" ] || total=$bad   # it could not begin
  printf '%-20s %-6s %4d tests  %3d s\n' "$name" "$verdict" "$total" $((SECONDS - started))
  passed=$((passed + total - bad)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
