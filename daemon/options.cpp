#include "daemon/options.hpp"

#include <algorithm>

namespace sluice {
namespace {

constexpr std::string_view roles[] = {"viewer", "operator", "admin"};
constexpr std::string_view dst_words[] = {"once", "skip", "both"};
constexpr std::string_view missed_words[] = {"latest", "all", "none"};
constexpr std::string_view overlap_words[] = {"skip", "queue", "replace"};
constexpr std::string_view modes[] = {"merge", "append", "replace"};
constexpr std::string_view new_fields_words[] = {"add", "keep_in_extra", "ignore", "fail"};
constexpr std::string_view type_changes_words[] = {"widen", "fail"};

Option option(std::string_view name, Value value, std::string_view help, std::string_view fallback = {},
              std::string_view least = {}, std::string_view most = {}) {
  return Option{name, value, help, fallback, false, {}, {}, least, most};
}
Option needed(std::string_view name, Value value, std::string_view help) {
  return Option{name, value, help, {}, true, {}, {}};
}
Option choice(std::string_view name, std::span<const std::string_view> words, std::string_view help,
              std::string_view fallback = {}) {
  return Option{name, Value::choice, help, fallback, false, {}, words};
}
Option group(std::string_view name, Value value, std::string_view help, std::span<const Option> children) {
  return Option{name, value, help, {}, false, children, {}};
}

std::span<const Option> tls_options() {
  static const Option table[] = {
      needed("certificate", Value::text,
             "PEM file with the certificate and its chain. `sluice --server https://…` elsewhere trusts a private "
             "authority that signed it by the environment variable SSL_CERT_FILE."),
      needed("key", Value::text, "PEM file with the private key."),
  };
  return table;
}

std::span<const Option> token_options() {
  static const Option table[] = {
      needed("name", Value::text, "Who holds it, for the audit trail."),
      Option{"role",
             Value::choice,
             "`viewer` reads, `operator` also triggers, pauses and cancels, `admin` may do all.",
             {},
             true,
             {},
             roles},
      needed("token", Value::secret, "The token itself."),
  };
  return table;
}

std::span<const Option> server_options_table() {
  static const Option table[] = {
      option("listen", Value::text, "IP address and port of metrics, health and operator API.", "127.0.0.1:8321"),
      group("tls", Value::table, "Serve HTTPS with this certificate.", tls_options()),
      group("tokens", Value::tables, "Who may use the API; needed for every address that is not loopback.",
            token_options()),
      option("protect_metrics", Value::boolean, "`/metrics` asks for a token of role viewer.", "false"),
      option("drain_timeout", Value::duration, "How long running slices may go on after SIGTERM.", "60s"),
  };
  return table;
}

std::span<const Option> state_options() {
  static const Option table[] = {
      option("url", Value::text,
             "`sqlite:///PATH`. Left out: state.db in $STATE_DIRECTORY (systemd sets it), else in "
             "$XDG_STATE_HOME/sluice."),
  };
  return table;
}

std::span<const Option> mask_key_options() {
  static const Option table[] = {
      needed("id", Value::text,
             "What tells this key from the ones before and after it; stored with every value that it masks."),
      needed("secret", Value::secret, "The key itself, 32 characters at least; make one with `openssl rand -hex 32`."),
  };
  return table;
}

std::span<const Option> limits_options() {
  static const Option table[] = {
      option("concurrent_runs", Value::integer,
             "How many runs may go on at the same time, backfills included. Backfills wait for the others, and leave "
             "one of several places free.",
             "8", "1", "1000"),
      option("memory", Value::size, "Batches in flight, all runs together.", "32MiB", "1MiB"),
  };
  return table;
}

std::span<const Option> schedule_options() {
  static const Option table[] = {
      option("cron", Value::text,
             "Minute, hour, day, month, weekday; names, lists, ranges and steps; a sixth, leading field is seconds; or "
             "@hourly, @daily, @weekly, @monthly."),
      option("every", Value::duration, "A fixed interval, aligned to 1970-01-01 UTC.", {}, "1s"),
      option("after", Value::text_list,
             "Fires once each of these pipelines has succeeded since this one last started."),
      option("timezone", Value::zone, "The zone that `cron` is read in. Left out: the file's `timezone`."),
      choice("dst", dst_words,
             "A wall-clock job that the change of the clocks skips or repeats: runs `once`, is `skip`ped in a gap, or "
             "runs "
             "at `both` of two equal times.",
             "once"),
      choice(
          "missed", missed_words,
          "Fires that fell due while sluice was down or the pipeline paused: the `latest`, `all`, or `none` of them.",
          "latest"),
      option("start_deadline", Value::duration, "A fire that is later than this is dropped."),
      choice("overlap", overlap_words,
             "A fire while the previous run still goes on, or waits for a quota: `skip` it, `queue` one, or `replace` "
             "the run.",
             "skip"),
      option("jitter", Value::duration, "Spread starts: a stable offset below this, derived from the pipeline's name."),
  };
  return table;
}

std::span<const Option> run_retry_options() {
  static const Option table[] = {
      option("runs", Value::integer, "Runs in all, the first one included.", "3", "1", "100"),
      option("backoff", Value::range, "The wait before the next run: the first and the longest.", "5m..1h"),
  };
  return table;
}

std::span<const Option> window_options() {
  static const Option table[] = {
      option("lookback", Value::duration,
             "How many days each run reads again, in whole days; yesterday at least. Left out: the stream's own."),
      option("start", Value::day, "The first day to load. Left out: 28 days before the first run."),
      option("slice", Value::duration,
             "How many days are loaded as one slice, in whole days. Left out: the stream's own."),
  };
  return table;
}

std::span<const Option> load_options() {
  static const Option table[] = {
      choice("mode", modes,
             "`merge` by key; `append`, where a slice that is read again replaces its own rows; `replace` the whole "
             "table. "
             "Left out: the stream's own."),
      option("key", Value::text_list, "The columns of the key, as the source names them. Left out: the stream's own."),
      option("partition_by", Value::text, "Partition the table by `day(column)`, `month(column)` or `year(column)`."),
      option("indexes", Value::text_lists, "Further indexes, each a list of columns."),
  };
  return table;
}

std::span<const Option> schema_options() {
  static const Option table[] = {
      choice(
          "new_fields", new_fields_words,
          "Fields that the source gives and nobody asked for: `add` columns, `keep_in_extra` as JSON in _sluice_extra, "
          "`ignore` or `fail`.",
          "ignore"),
      choice("types", type_changes_words, "A column whose type became wider: `widen` it, or `fail`.", "widen"),
  };
  return table;
}

std::span<const Option> transform_options() {
  static const Option table[] = {
      option("select", Value::text_list, "Keep these columns only, in this order."),
      option("rename", Value::text_map, "Old name to new name."),
      option("cast", Value::text_map,
             "Column to type, such as `decimal(18,4)`, to whose scale values are rounded as SQL does (halves away from "
             "zero). A value that does not fit goes to quarantine."),
      option("drop", Value::text_list,
             "What must not be stored: columns, or members inside a column of JSON, like `profile.email`. Not in the "
             "quarantine either; see docs/privacy.md."),
      option(
          "mask", Value::text_map,
          "Column, or member inside a column of JSON like `profile.email`, to how it is masked before it is stored "
          "anywhere: `hmac_sha256` (a pseudonym; needs `mask_key`), `redact` (`***`), `partial` (`a***@example.com`, "
          "`***678`). The column becomes text. See docs/privacy.md."),
  };
  return table;
}

std::vector<Option> joined(std::initializer_list<std::span<const Option>> tables) {
  std::vector<Option> all;
  for (const auto table : tables) all.insert(all.end(), table.begin(), table.end());
  return all;
}

template <typename Kind>
const Kind* of_type(std::span<const Kind> kinds, std::string_view type) {
  const auto at = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& kind) { return kind.type == type; });
  return at == kinds.end() ? nullptr : &*at;
}

}  // namespace

const ConnectorKind* Kinds::connector(std::string_view type) const {
  return of_type(connectors, type);
}
const SinkKind* Kinds::sink(std::string_view type) const {
  return of_type(sinks, type);
}

std::span<const Option> file_options() {
  static const Option table[] = {
      needed("version", Value::integer, "The version of this format: 1."),
      option("timezone", Value::zone, "The default zone of every schedule.", "UTC"),
      group("server", Value::table, "Metrics, health and operator API.", server_options_table()),
      group("state", Value::table, "Where sluice remembers runs, schedules and watermarks.", state_options()),
      group("limits", Value::table, "What sluice may use.", limits_options()),
      option(
          "retention", Value::duration,
          "How long runs and what they said are remembered, in every sink the lines of `_sluice_loads`, and the rows "
          "of `_sluice_quarantine` since they were last seen. `sluice serve` forgets what is older once a day; of each "
          "window of days the newest line of the ledger stays.",
          "90d", "1d"),
      group("mask_key", Value::table, "The key of `mask: {…: hmac_sha256}`.", mask_key_options()),
      group("sources", Value::named, "External systems, each with its credentials and its rate limit.", {}),
      group("sinks", Value::named, "Databases that rows are loaded into.", {}),
      group("defaults", Value::table, "Merged deeply into every pipeline; what a pipeline says itself wins.", {}),
      group("pipelines", Value::named, "What is loaded, from where to where, and when.", {}),
  };
  return table;
}

std::span<const Option> pipeline_options() {
  static const Option table[] = {
      needed("source", Value::text, "The name of one of the `sources`."),
      needed("sink", Value::text, "The name of one of the `sinks`."),
      group("schedule", Value::table, "When it fires: one of `cron`, `every`, `after`. Left out: by hand only.",
            schedule_options()),
      option("freshness", Value::duration, "How old the newest data may be: exported as a metric, to be alerted on."),
      option("timeout", Value::duration, "A run that publishes nothing for this long is ended.", "1h", "1s"),
      group("retry", Value::table, "Of a run that failed for a passing cause.", run_retry_options()),
      option("enabled", Value::boolean, "false: it is checked and listed, and never fires.", "true"),
      Option{"streams", Value::named, "The streams to load, each with its options; or `all`.", {}, true, {}, {}},
      option("exclude", Value::text_list, "With `streams: all`: the streams to leave out."),
  };
  return table;
}

std::span<const Option> default_options() {
  static const auto table = [] {
    std::vector<Option> all;
    for (auto one : pipeline_options()) {
      one.required = false;
      if (one.name != "streams" && one.name != "exclude") all.push_back(one);
    }
    return all;
  }();
  return table;
}

std::span<const Option> common_stream_options() {
  static const Option table[] = {
      option("from", Value::text, "The built-in stream that this one is made from. Left out: the stream's own name."),
      option("enabled", Value::boolean, "false: it is checked and listed, and never loaded.", "true"),
      option("table", Value::text, "The table's name. Left out: the source's name, an underscore, the stream's name."),
      group("window", Value::table, "Of streams that are read by days.", window_options()),
      group("load", Value::table, "How rows get into the table.", load_options()),
      group("schema", Value::table, "What becomes of changes at the source.", schema_options()),
      group("transform", Value::tables, "Steps between source and sink, one key each, applied in their order.",
            transform_options()),
      option("sweep", Value::duration, "Of streams that are read by what changed: how often all of it is read again.",
             {}, "1m"),
  };
  return table;
}

std::vector<Option> source_options(const ConnectorKind& kind) {
  static const Option type[] = {needed("type", Value::text, "What kind of source it is.")};
  return joined({type, kind.source_options});
}

std::vector<Option> stream_options(const ConnectorKind& kind) {
  return joined({common_stream_options(), kind.stream_options});
}

std::vector<Option> sink_options(const SinkKind& kind) {
  static const Option type[] = {needed("type", Value::text, "What kind of database it is.")};
  return joined({type, kind.options});
}

}  // namespace sluice
