#!/usr/bin/env bash
# Loads the same rows with sluice and with psql's \copy, in turn, into a private PostgreSQL, and prints the ratios.
#   bench/run.sh            the table (some minutes)
#   bench/run.sh build      how long a clean build takes, and one after touching a connector
# ROUNDS=3 ACCOUNTS=4 DAYS=25 ROWS=5000 change its size.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3} ACCOUNTS=${ACCOUNTS:-4} DAYS=${DAYS:-25} ROWS=${ROWS:-5000}

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
cmake --build --preset release --target sluice sluice-sandbox >/dev/null
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
export PGHOST=$work PGUSER=bench PGDATABASE=postgres
sql() { psql -XqtA -c "$1"; }
now() { date +%s%N; }

start_sandbox() {  # rows per account-day
  [ -z "${sandbox:-}" ] || { kill "$sandbox"; wait "$sandbox" 2>/dev/null || true; }
  "$bin/sluice-sandbox" --rows-per-day "$1" --accounts "$ACCOUNTS" --report-delay 0s >"$work/sandbox.out" &
  sandbox=$!
  until grep -q listening "$work/sandbox.out" 2>/dev/null; do sleep 0.05; done
  url=$(sed 's/listening on //' "$work/sandbox.out")
}

write_config() {
  cat >"$work/sluice.yaml" <<YAML
version: 1
state: {url: "sqlite://$work/state.db"}
sources:
  facebook:
    type: facebook_ads
    base_url: $url
    access_token: {env: FACEBOOK_TOKEN}
    page_size: ${PAGE:-500}
    rate_limit: {rate: 100000/s, burst: 100000, target: 100%}
    report: {poll: 0s..0s}
sinks:
  warehouse: {type: postgres, url: "postgresql://bench@/postgres?host=$work"}
pipelines:
  bench:
    source: facebook
    sink: warehouse
    streams:
      insights:
        table: insights
        level: ad
        fields: [campaign_id, adset_id, ad_id, campaign_name, adset_name, ad_name, impressions, clicks, spend, reach,
                 frequency, cpc, cpm, ctr, inline_link_clicks]
YAML
}

export FACEBOOK_TOKEN=sandbox-token
from=$(date -d "-$DAYS days" +%F) to=$(date -d "-1 day" +%F)
# Runs the load; prints seconds and the peak memory in KiB.
load() {
  local begin end
  begin=$(now)
  /usr/bin/time -o "$work/time" -f %M "$bin/sluice" backfill bench --stream insights --from "$from" --to "$to" \
    --name "b$begin" -c "$work/sluice.yaml" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
  end=$(now)
  echo "$(((end - begin) / 1000000)) $(tail -n 1 "$work/time")"
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

start_sandbox "$ROWS"
write_config
rows=$((ACCOUNTS * DAYS * ROWS))
load >/dev/null   # warms caches, makes the table
columns=$(sql "select string_agg(quote_ident(attname), ',' order by attnum) from pg_attribute
               where attrelid = 'insights'::regclass and attnum > 0 and not attisdropped")
psql -Xq -c "\\copy insights to '$work/rows.txt'"
sql "create table by_psql (like insights including all)"
for round in $(seq "$ROUNDS"); do
  sql "truncate insights, _sluice_progress, _sluice_loads; checkpoint"
  wal=$(sql "select pg_current_wal_lsn()")
  read -r first_ms first_kib < <(load)
  first_wal=$(sql "select pg_wal_lsn_diff(pg_current_wal_lsn(), '$wal')::bigint")
  [ "$(sql 'select count(*) from insights')" = "$rows" ] || { echo "expected $rows rows" >&2; exit 1; }
  wal=$(sql "select pg_current_wal_lsn()")
  read -r again_ms _ < <(load)
  again_wal=$(sql "select pg_wal_lsn_diff(pg_current_wal_lsn(), '$wal')::bigint")
  sql "truncate by_psql; checkpoint"
  begin=$(now)
  psql -Xq -c "\\copy by_psql from '$work/rows.txt'"
  psql_ms=$((($(now) - begin) / 1000000))
  echo "$first_ms $psql_ms $again_ms $first_wal $again_wal $first_kib" >>"$work/rounds"
done
column_median() { awk -v c="$1" '{print $c}' "$work/rounds" | median; }
first=$(column_median 1) psql=$(column_median 2) again=$(column_median 3)
wal1=$(column_median 4) wal2=$(column_median 5) kib=$(column_median 6)

start_sandbox $((ROWS * 4))
write_config
sql "truncate insights, _sluice_progress, _sluice_loads"
read -r _ kib4 < <(load)

echo
echo "machine: $(nproc) cores, $(sed -n 's/model name.*: //p' /proc/cpuinfo | head -n 1); $("$pg/postgres" --version)"
echo "$rows rows in $((ACCOUNTS * DAYS)) account-days, medians of $ROUNDS rounds"
awk -v rows="$rows" -v f="$first" -v p="$psql" -v a="$again" -v w1="$wal1" -v w2="$wal2" -v k="$kib" -v k4="$kib4" 'BEGIN {
  printf "| what | measured | goal |\n|---|---|---|\n"
  printf "| sluice, empty windows | %.2f s, %d rows/s | |\n", f / 1000, rows * 1000 / f
  printf "| psql \\copy of the same rows | %.2f s, %d rows/s | |\n", p / 1000, rows * 1000 / p
  printf "| rate against psql | %.2f | at least 0.8 |\n", p / f
  printf "| the same windows again, unchanged: time against the first load | %.2f | at most 1 |\n", a / f
  printf "| the same windows again: WAL against the first load | %.2f %% | under 2 %% |\n", 100 * w2 / w1
  printf "| peak memory | %.0f MB | under 64 MB |\n", k * 1024 / 1e6
  printf "| peak memory with four times the rows | %.0f MB (%+.0f %%) | within 10 %% |\n", k4 * 1024 / 1e6, 100 * (k4 / k - 1)
}'
