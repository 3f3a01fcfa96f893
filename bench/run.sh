#!/usr/bin/env bash
# Loads the same rows with sluice and with psql's \copy, in turn, into a private PostgreSQL, and prints the ratios.
# What the daemon takes, and how quickly it starts, fires and answers, is a section of its own.
#   bench/run.sh [facebook] [clevertap] [google] [answer]   their tables, all without a name (some minutes each);
#                                                           answer: Google's rows in a single answer
#   bench/run.sh daemon                                     the daemon: memory, processor, delays (six minutes)
#   bench/run.sh build                                      a clean build's time, and one after touching a connector
# ROUNDS=3 DAYS=25 ROWS=5000 change its size: ROWS are those of a day.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3} DAYS=${DAYS:-25}

# What a connector loads: the sandbox's options, its source, one stream of it into the table `bench`, the rows that each
# of its accounts has on a day, and how many slices of an account are loaded side by side.
facebook() {
  what="Facebook insights" accounts=4 parallel=1 rows_in_day=${ROWS:-5000} read_in="$((4 * DAYS)) account-days"
  sandbox_options="--accounts 4 --report-delay 0s"
  source="type: facebook_ads, access_token: {env: TOKEN}, report: {poll: 0s..0s}, page_size: ${PAGE:-500}"
  stream="insights: {table: bench, level: ad, fields: [campaign_id, adset_id, ad_id, campaign_name, adset_name, ad_name,
                     impressions, clicks, spend, reach, frequency, cpc, cpm, ctr, inline_link_clicks]}"
}
clevertap() {
  what="CleverTap events" accounts=1 parallel=2 rows_in_day=${ROWS:-40000} read_in="$DAYS days"
  sandbox_options="--accounts 1"
  source="type: clevertap, account_id: BENCH, passcode: {env: TOKEN}, timezone: Asia/Kolkata, page_size: ${PAGE:-5000}"
  stream="events: {table: bench, names: [Charged]}"
}
# All days of a customer are one slice, which one answer of searchStream brings.
google() {
  what="Google Ads report" accounts=${CUSTOMERS:-4} parallel=1 rows_in_day=$((${ROWS:-40000} / ${CUSTOMERS:-4}))
  read_in="${CUSTOMERS:-4} answers"
  sandbox_options="--accounts $accounts"
  source="type: google_ads, client_id: bench, client_secret: {env: TOKEN}, refresh_token: {env: REFRESH_TOKEN},
          token_url: \"URL/token\", login_customer_id: \"1000000001\", operations_per_day: 0"
  stream="report: {table: bench, window: {slice: ${DAYS}d}, load: {key: [segments_date, ad_group_ad_ad_id]},
                   query: \"SELECT segments.date, campaign.id, campaign.name, ad_group.id, ad_group.name,
                           ad_group_ad.ad.id, metrics.impressions, metrics.clicks, metrics.cost_micros,
                           metrics.conversions, metrics.conversions_value FROM ad_group_ad\"}"
}
answer() { CUSTOMERS=1 google; }

./deploy/install-packages.sh build bench

if [ "${1:-}" = build ]; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  export CCACHE_DISABLE=1
  cmake --preset release -B "$dir" -DSLUICE_BENCH=OFF -DSLUICE_TESTS=OFF >/dev/null
  from=$(date +%s%N); cmake --build "$dir" >/dev/null; to=$(date +%s%N)
  touch connectors/facebook_ads.cpp
  cmake --build "$dir" >/dev/null; again=$(date +%s%N)
  awk -v a=$(((to - from) / 1000000)) -v b=$(((again - to) / 1000000)) \
    'BEGIN {printf "clean build, release, no ccache: %.0f s\nafter touching one connector:    %.1f s\n", a / 1000, b / 1000}'
  exit 0
fi

cmake --preset release >/dev/null
cmake --build --preset release --target sluice sluice-sandbox bench_pipelines >/dev/null
bin=$PWD/build/release work=$(mktemp -d)
pg=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
as_postgres=""
if [ "$(id -u)" = 0 ]; then chown postgres "$work"; as_postgres="runuser -u postgres --"; fi
chmod 755 "$work"
stop() {
  [ -z "${sandbox:-}" ] || kill "$sandbox" 2>/dev/null || true
  $as_postgres "$pg/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap stop EXIT
$as_postgres "$pg/initdb" -D "$work/data" -U bench --auth=trust --no-sync >/dev/null
$as_postgres "$pg/pg_ctl" -D "$work/data" -w -l "$work/log" \
  -o "-k $work -c listen_addresses='' -c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off" start >/dev/null
export PGHOST=$work PGUSER=bench PGDATABASE=postgres TOKEN=sandbox-token REFRESH_TOKEN=sandbox-refresh
from=$(date -d "-$DAYS days" +%F) to=$(date -d "-1 day" +%F)

sql() { psql -XqtA -c "$1"; }
now() { date +%s%N; }

# Starts the sandbox with that many rows in a day of an account, and writes the configuration.
prepare() {
  [ -z "${sandbox:-}" ] || { kill "$sandbox"; wait "$sandbox" 2>/dev/null || true; }
  rm -f "$work/sandbox.out"
  # shellcheck disable=SC2086
  "$bin/sluice-sandbox" --rows-per-day "$1" $sandbox_options >"$work/sandbox.out" &
  sandbox=$!
  until grep -q listening "$work/sandbox.out" 2>/dev/null; do sleep 0.05; done
  url=$(sed 's/listening on //' "$work/sandbox.out")
  cat >"$work/sluice.yaml" <<YAML
version: 1
state: {url: "sqlite://$work/state.db"}
sources:
  api: {${source//URL/$url}, base_url: "$url",
        rate_limit: {rate: 100000/s, burst: 100000, target: 100%}}
sinks:
  warehouse: {type: postgres, url: "postgresql://bench@/postgres?host=$work"}
pipelines:
  bench: {source: api, sink: warehouse, streams: {$stream}}
YAML
}

# Runs the load; prints milliseconds and the peak memory in KiB.
load() {
  local begin end
  begin=$(now)
  /usr/bin/time -o "$work/time" -f %M "$bin/sluice" backfill bench --from "$from" --to "$to" \
    --parallel "$parallel" --name "b$begin" -c "$work/sluice.yaml" >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
  end=$(now)
  echo "$(((end - begin) / 1000000)) $(tail -n 1 "$work/time")"
}

machine() {
  echo
  echo "machine: $(nproc) cores, $(sed -n 's/model name.*: //p' /proc/cpuinfo | head -n 1); $("$pg/postgres" --version)"
}

daemon() {
  machine
  printf '| what | measured | goal |\n|---|---|---|\n'
  python3 bench/daemon.py "$bin" "$work"
  mkdir "$work/pipelines"
  echo "| 10,000 pipelines each minute, MINUTES=${MINUTES:-3} | | |"
  # Each pipeline's lock is an open file.
  (ulimit -n 20000 && "$bin/bench/bench_pipelines" "$work/pipelines" 10000 "${MINUTES:-3}" 2>"$work/log.pipelines") ||
    { tail "$work/log.pipelines" >&2; exit 1; }
}

compare() {
  local rows=$((accounts * DAYS * rows_in_day)) begin bytes wal first_ms first_kib first_wal again_ms again_wal psql_ms kib4
  rm -f "$work/rounds"
  sql "set client_min_messages = warning; drop schema public cascade; create schema public"
  prepare "$rows_in_day"
  load >/dev/null   # warms caches, makes the table
  bytes=$(curl -fsS "$url/sandbox/log" | sed 's/.*"body_bytes":\([0-9]*\).*/\1/')
  psql -Xq -c "\\copy bench to '$work/rows.txt'"
  sql "create table by_psql (like bench including all)"
  for _ in $(seq "$ROUNDS"); do
    sql "truncate bench, _sluice_progress, _sluice_loads; checkpoint"
    wal=$(sql "select pg_current_wal_lsn()")
    read -r first_ms first_kib < <(load)
    first_wal=$(sql "select pg_wal_lsn_diff(pg_current_wal_lsn(), '$wal')::bigint")
    [ "$(sql 'select count(*) from bench')" = "$rows" ] || { echo "expected $rows rows" >&2; exit 1; }
    wal=$(sql "select pg_current_wal_lsn()")
    read -r again_ms _ < <(load)
    again_wal=$(sql "select pg_wal_lsn_diff(pg_current_wal_lsn(), '$wal')::bigint")
    sql "truncate by_psql; checkpoint"
    begin=$(now)
    psql -Xq -c "\\copy by_psql from '$work/rows.txt'"
    psql_ms=$((($(now) - begin) / 1000000))
    echo "$first_ms $psql_ms $again_ms $first_wal $again_wal $first_kib" >>"$work/rounds"
  done
  prepare $((rows_in_day * 4))
  sql "truncate bench, _sluice_progress, _sluice_loads"
  read -r _ kib4 < <(load)
  report "$rows" "$kib4" "$bytes"
}

report() {
  median() { awk -v c="$1" '{print $c}' "$work/rounds" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
  machine
  echo "$what: $1 rows of $(sql 'select round(avg(pg_column_size(b.*))) from (select * from bench limit 1000) as b') bytes, \
$(($3 / 1000000)) MB of JSON in $read_in, medians of $ROUNDS rounds"
  awk -v rows="$1" -v f="$(median 1)" -v p="$(median 2)" -v a="$(median 3)" -v w1="$(median 4)" -v w2="$(median 5)" \
    -v k="$(median 6)" -v k4="$2" 'BEGIN {
    printf "| what | measured | goal |\n|---|---|---|\n"
    printf "| sluice, empty windows | %.2f s, %d rows/s | |\n", f / 1000, rows * 1000 / f
    printf "| psql \\copy of the same rows | %.2f s, %d rows/s | |\n", p / 1000, rows * 1000 / p
    printf "| rate against psql | %.2f | at least 0.8 |\n", p / f
    printf "| the same windows again, unchanged: time against the first load | %.2f | at most 1 |\n", a / f
    printf "| the same windows again: WAL against the first load | %.2f %% | under 2 %% |\n", 100 * w2 / w1
    printf "| peak memory | %.0f MB | under 64 MB |\n", k * 1024 / 1e6
    printf "| peak memory with four times the rows | %.0f MB (%+.0f %%) | within 10 %% |\n", k4 * 1024 / 1e6, 100 * (k4 / k - 1)
  }'
}

[ $# -gt 0 ] || set -- facebook clevertap google answer
for connector in "$@"; do
  case $connector in
    daemon) daemon; continue ;;
    facebook | clevertap | google | answer) ;;
    *) echo "no benchmark is called $connector" >&2; exit 2 ;;
  esac
  "$connector"
  compare
done
