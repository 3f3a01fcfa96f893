#include "daemon/configuration.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "core/error.hpp"
#include "tests/daemon/fake_kinds.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

Lines lines(const Faults& faults) {
  Lines out;
  for (const auto& fault : faults) out.push_back(to_string(fault));
  return out;
}

Configuration read(const std::string& yaml) {
  Faults faults;
  auto made = read_configuration(yaml, "s.yaml", test::fake_kinds(), faults);
  for (const auto& line : lines(faults)) UNSCOPED_INFO(line);
  REQUIRE(made);
  return std::move(*made);
}

Lines faults_of(const std::string& yaml) {
  Faults faults;
  const auto made = read_configuration(yaml, "s.yaml", test::fake_kinds(), faults);
  CHECK(made.has_value() == faults.empty());
  return lines(faults);
}

// A file with one source, one sink, and the pipeline `p` of them; `rest` continues the pipeline.
const std::string head = R"(version: 1
sources: {fb: {type: fake_ads, access_token: {env: T}}}
sinks: {wh: {type: fake_db, url: sqlite}}
)";
std::string pipeline(const std::string& rest) {
  return head + "pipelines:\n  p:\n    source: fb\n    sink: wh\n" + rest;  // `rest` begins on line 8
}
std::string stream(const std::string& options) {
  return pipeline("    streams: {insights: {" + options + "}}\n");
}

}  // namespace

TEST_CASE("a whole file arrives as pipelines that are ready to run") {
  const auto made = read(R"yaml(
version: 1
timezone: Europe/London
server:
  listen: "[::1]:9000"
  protect_metrics: true
  drain_timeout: 2m
  tokens: [{name: ops, role: operator, token: {env: OPS}}]
state: {url: "sqlite:///var/lib/sluice/state.db"}
limits: {concurrent_runs: 3, memory: 64MiB}
sources:
  fb: {type: fake_ads, access_token: {env: T}, accounts: [1234567890123456789], rate_limit: {rate: 600/m}}
sinks:
  wh: {type: fake_db, url: {env: URL}}
defaults:
  sink: wh
  schedule: {missed: all, overlap: queue}
  retry: {runs: 5}
pipelines:
  ads:
    source: fb
    schedule: {cron: "7 * * * *", jitter: 2m, dst: skip, start_deadline: 30m}
    freshness: 3h
    timeout: 2h
    streams:
      campaigns: {sweep: 7d}
      insights:
        table: facebook_insights
        level: ad
        window: {lookback: 7d, start: 2025-01-01, slice: 2d}
        load: {partition_by: month(date_start), indexes: [[ad_id, date_start]]}
        schema: {new_fields: keep_in_extra, types: fail}
        transform:
          - rename: {spend: cost}
          - cast: {cost: "decimal(18,4)"}
          - drop: [impressions]
      by-country: {from: insights, breakdowns: [country]}
  later:
    source: fb
    enabled: false
    schedule: {after: [ads], timezone: Asia/Kolkata}
    streams: all
    exclude: [log, insights]
)yaml");
  CHECK(made.server.address == "::1");
  CHECK(made.server.port == 9000);
  CHECK(made.server.protect_metrics);
  CHECK(made.server.drain_timeout == 2min);
  CHECK(state_path(made) == "/var/lib/sluice/state.db");
  CHECK(made.concurrent_runs == 3);
  CHECK(made.memory == 64 << 20);
  REQUIRE(made.source("fb"));
  CHECK(made.source("fb")->kind->type == "fake_ads");
  CHECK(made.source("fb")->settings.texts("accounts") == Lines{"1234567890123456789"});
  CHECK(made.source("fb")->settings.table("rate_limit").fraction("target") == 0.75);
  REQUIRE(made.sink("wh"));
  CHECK(made.sink("wh")->settings.integer("max_connections") == 4);

  REQUIRE(made.pipelines.size() == 2);
  const auto& ads = made.pipelines[0];
  CHECK(ads.name == "ads");
  CHECK(ads.sink == "wh");
  CHECK(std::get<Cron>(ads.schedule.when).text() == "7 * * * *");
  CHECK(ads.schedule.zone_name == "Europe/London");
  CHECK(ads.schedule.missed == Missed::all);
  CHECK(ads.schedule.overlap == Overlap::queue);
  CHECK(ads.schedule.dst == Dst::skip);
  CHECK(ads.schedule.jitter == 2min);
  CHECK(ads.schedule.start_deadline == Duration(30min));
  CHECK(ads.freshness == Duration(3h));
  CHECK(ads.timeout == 2h);
  CHECK(ads.retry.runs == 5);
  CHECK(ads.retry.most == 1h);

  REQUIRE(ads.streams.size() == 3);
  CHECK(ads.streams[0].table.name == "fb_campaigns");
  CHECK(ads.streams[0].sweep == Duration(168h));
  const auto& insights = ads.streams[1];
  CHECK(insights.table.name == "facebook_insights");
  CHECK(insights.lookback == Duration(168h));
  CHECK(insights.start == Day(2025, 1, 1));
  CHECK(insights.slice_days == 2);
  CHECK(insights.spec.new_fields == NewFields::keep_in_extra);
  CHECK(insights.spec.columns.back().name == extra_column);
  CHECK(insights.spec.columns.back().path.empty());
  CHECK(insights.table.type_changes == TypeChanges::fail);
  CHECK(insights.table.partition_by->unit == PartitionBy::Unit::month);
  CHECK(insights.table.partition_by->column == "date_start");
  CHECK(insights.table.indexes == std::vector<Lines>{{"ad_id", "date_start"}});
  CHECK(insights.table.key == Lines{"account_id", "date_start", "ad_id"});
  REQUIRE(insights.table.find("cost"));
  CHECK(to_string(insights.table.find("cost")->type) == "decimal(18,4)");
  CHECK(insights.table.find("impressions") == nullptr);
  CHECK(insights.spec.options.text("level") == "ad");
  CHECK(ads.streams[2].name == "by-country");
  CHECK(ads.streams[2].spec.name == "by-country");
  CHECK(ads.streams[2].table.name == "fb_by_country");
  CHECK(ads.streams[2].lookback == Duration(672h));

  const auto& later = made.pipelines[1];
  CHECK_FALSE(later.enabled);
  CHECK(later.schedule.zone_name == "Asia/Kolkata");
  CHECK(std::get<Lines>(later.schedule.when) == Lines{"ads"});
  REQUIRE(later.streams.size() == 2);
  CHECK(later.streams[0].name == "accounts");
  CHECK(later.streams[1].name == "campaigns");
  CHECK(lines(made.warnings).empty());
}

TEST_CASE("the shortest file has sensible values for everything else") {
  const auto made = read(pipeline("    streams: {log: {load: {mode: append}}, accounts: }\n"));
  CHECK(made.server.address == "127.0.0.1");
  CHECK(made.server.port == 8321);
  CHECK(made.server.drain_timeout == 60s);
  CHECK_FALSE(made.state_url);
  CHECK(made.concurrent_runs == 8);
  CHECK(made.memory == 32 << 20);
  const auto& p = made.pipelines.at(0);
  CHECK(std::holds_alternative<std::monostate>(p.schedule.when));
  CHECK(p.schedule.zone_name == "UTC");
  CHECK(p.enabled);
  CHECK(p.timeout == 1h);
  CHECK(p.retry.runs == 3);
  CHECK(p.streams.at(0).table.mode == LoadMode::append);
  CHECK(p.streams.at(0).spec.new_fields == NewFields::ignore);
  CHECK(p.streams.at(1).table.key == Lines{"id"});
  CHECK_FALSE(p.streams.at(1).sweep);
}

TEST_CASE("each mistake in the file has its message") {
  struct Case {
    std::string yaml;
    std::string message;
  };
  const Case cases[] = {
      {"version: 2\n", "1:10: \"version\": found 2, this sluice reads version 1"},
      {"timezone: UTC\n", "1:1: \"version\" is missing: The version of this format: 1."},
      {"version: 1\nretention: 90d\n",
       "2:1: unknown key \"retention\"; known here: version, timezone, server, state, limits, "
       "sources, sinks, defaults, pipelines"},
      {"version: 1\npipeline: {}\n", "2:1: unknown key \"pipeline\"; did you mean \"pipelines\"?"},
      {"version: 1\nserver: {listen: \"8321\"}\n",
       "2:18: \"listen\": found \"8321\", expected an IP address and a port, like 127.0.0.1:8321 or [::]:8321"},
      {"version: 1\nserver: {listen: \"127.0.0.1:70000\"}\n",
       "2:18: \"listen\": found \"127.0.0.1:70000\", expected an IP address and a port, like 127.0.0.1:8321 or "
       "[::]:8321"},
      {"version: 1\nserver: {listen: \"0.0.0.0:8321\"}\n",
       "2:18: \"listen\": 0.0.0.0:8321 is not loopback, so that others may reach it: server.tokens is needed"},
      {"version: 1\nserver:\n  tokens:\n    - {name: a, role: admin, token: {env: A}}\n    - {name: a, role: admin, "
       "token: "
       "{env: B}}\n",
       "5:14: two tokens are named \"a\""},
      {"version: 1\nstate: {url: \"postgres://db/state\"}\n",
       "2:14: \"url\": the state in PostgreSQL is not built yet: expected sqlite:///PATH"},
      {"version: 1\nstate: {url: /var/lib/state.db}\n",
       "2:14: \"url\": found \"/var/lib/state.db\", expected sqlite:///PATH"},
      {"version: 1\nlimits: {concurrent_runs: 0}\n", "2:27: \"concurrent_runs\": found \"0\", expected 1 to 1000"},
      {"version: 1\nlimits: {memory: 64KiB}\n", "2:18: \"memory\": found \"64KiB\", expected at least 1MiB"},
      {"version: 1\nsources: {fb: {access_token: {env: T}}}\n", "2:15: \"type\" is missing: expected one of fake_ads"},
      {"version: 1\nsources: {fb: {type: fakeads}}\n",
       "2:22: unknown type of source \"fakeads\"; did you mean \"fake_ads\"?"},
      {"version: 1\nsinks: {wh: {type: oracle}}\n",
       "2:20: unknown type of sink \"oracle\"; known here: fake_db, fake_file"},
      {"version: 1\nsources: {fb: fake_ads}\n", "2:15: \"fb\": expected a mapping with a type: fake_ads"},
      {"version: 1\nsources: {fb: {type: fake_ads}}\n", "2:15: \"access_token\" is missing: The token."},
      {"version: 1\nsinks: {\"w h\": {type: fake_db, url: x}}\n",
       "2:9: \"w h\" cannot be a name: expected a letter, then letters, digits, _ and -, 63 at most"},
      {"version: 1\ndefaults: {streams: {}}\n",
       "2:12: unknown key \"streams\"; known here: source, sink, schedule, freshness, timeout, retry, enabled"},

      {head + "pipelines: {p: {source: fb, streams: {accounts: }}}\n",
       "4:16: \"sink\" is missing: The name of one of the `sinks`."},
      {head + "pipelines: {p: {source: fbb, sink: wh, streams: all}}\n",
       "4:25: unknown source \"fbb\"; did you mean \"fb\"?"},
      {head + "pipelines: {p: {source: fb, sink: lake, streams: {accounts: }}}\n",
       "4:35: unknown sink \"lake\"; known here: wh"},
      {head + "pipelines: {p: {source: fb, sink: wh}}\n",
       "4:16: \"streams\" is missing: The streams to load, each with its options; or `all`."},
      {head + "pipelines: {p: [1]}\n", "4:16: \"p\": expected a mapping, found a list"},
      {pipeline("    streams: everything\n"),
       "8:14: \"streams\": found \"everything\", expected a mapping of streams, or all"},
      {pipeline("    streams: {}\n"), "8:14: pipeline \"p\" has no streams"},
      {pipeline("    streams: {accounts: }\n    exclude: [log]\n"),
       "9:14: \"exclude\" belongs to `streams: all`; here the streams are named"},
      {pipeline("    streams: {accounts: 5}\n"), "8:25: \"accounts\": expected a mapping, found a text"},
      {pipeline("    streams: {campaign: }\n"),
       "8:15: unknown stream \"campaign\"; did you mean \"campaigns\"?; a stream of "
       "another name says which one it is made `from`"},
      {pipeline("    streams: {mine: {from: insigts}}\n"),
       "8:28: unknown stream \"insigts\"; did you mean \"insights\"?"},
      {pipeline("    streams: {campaigns: {level: ad}}\n"), "8:34: \"level\" belongs to insights"},
      {stream("table: {env: X}"), "8:33: \"table\": expected the text itself, found a reference"},
      {stream("breakdowns: [{env: X}]"), "8:39: \"breakdowns\": expected the text itself, found a reference"},
      {head + "pipelines: {p: {source: {env: X}, sink: wh, streams: {accounts: }}}\n",
       "4:25: \"source\": expected the text itself, found a reference"},
      {"version: 1\nserver: {listen: {env: X}}\n", "2:18: \"listen\": expected the text itself, found a reference"},
      {"version: 1\nserver: {tokens: [{name: {env: X}, role: admin, token: {env: A}}]}\n",
       "2:26: \"name\": expected the text itself, found a reference"},
      {stream("levl: ad"), "8:26: unknown key \"levl\"; did you mean \"level\"?"},
      {stream("level: advert"), "8:33: \"level\": found \"advert\", expected one of: campaign, ad"},

      {pipeline("    streams: {accounts: }\n    schedule: {cron: 61 * * * *}\n"),
       "9:22: cron \"61 * * * *\": the minute field is \"61\": "},
      {pipeline("    streams: {accounts: }\n    schedule: {every: 5m, cron: \"@daily\"}\n"),
       "9:23: \"every\" stands beside \"cron\": a schedule has one of cron, every, after"},
      {pipeline("    streams: {accounts: }\n    schedule: {every: 10ms}\n"),
       "9:23: \"every\": found \"10ms\", expected at least 1s"},
      {pipeline("    streams: {accounts: }\n    schedule: {after: [q]}\n"),
       "9:23: unknown pipeline \"q\"; did you mean \"p\"?"},
      {pipeline("    streams: {accounts: }\n    schedule: {after: p}\n"),
       "9:23: pipelines wait for each other and would never fire: p after p"},
      {pipeline("    streams: {accounts: }\n    retry: {runs: 0}\n"), "9:19: \"runs\": found \"0\", expected 1 to 100"},
      {pipeline("    streams: {accounts: }\n    timeout: 0s\n"),
       "9:14: \"timeout\": found \"0s\", expected at least 1s"},
      {pipeline("    streams: {accounts: }\n    schedule: {overlap: replce}\n"),
       "9:25: \"overlap\": found \"replce\", expected one of: skip, queue, replace; did you mean \"replace\"?"},

      {stream("window: {lookback: 36h}"), "8:45: \"lookback\": found 1d12h, expected whole days, like 28d"},
      {stream("window: {slice: 0d}"), "8:42: \"slice\": found 0s, expected whole days, like 28d"},
      {pipeline("    streams: {accounts: {window: {start: 2025-01-01}}}\n"),
       "8:34: stream \"accounts\" is not read by days: it has no `window`"},
      {stream("sweep: 7d"), "8:33: stream \"insights\" is not read by what changed: `sweep` is not for it"},
      {stream("load: {mode: replace}"),
       "8:39: \"mode\": replace swaps the whole table, and stream \"insights\" is read in parts"},
      {pipeline("    streams: {log: }\n"),
       "8:15: stream \"log\" has no key to merge by: give load.key, or load.mode append or replace"},
      {stream("load: {key: [ad_i]}"), "8:38: unknown column \"ad_i\"; did you mean \"ad_id\"?"},
      {stream("load: {mode: append, key: [ad_id]}"),
       "8:52: \"key\": rows are appended without a key; leave it out, or take mode merge"},
      {stream("load: {partition_by: week(date_start)}"),
       "8:47: \"partition_by\": found \"week(date_start)\", expected day(column), month(column) or year(column)"},
      {stream("load: {partition_by: month(date_strat)}"),
       "8:47: unknown column \"date_strat\"; did you mean \"date_start\"?"},
      {stream("load: {partition_by: month(ad_id)}"),
       "8:47: \"partition_by\": column ad_id is text, expected a date or a timestamp"},
      {pipeline("    streams: {campaigns: {load: {partition_by: day(updated_time)}}}\n"),
       "8:48: \"partition_by\": column updated_time is not part of the key (id), as it must be in a partitioned table"},
      {stream("load: {indexes: [[ad_idd]]}"), "8:42: unknown column \"ad_idd\"; did you mean \"ad_id\"?"},
      {stream("table: Insights"),
       "8:33: \"Insights\" cannot be the name of a table: expected a small letter or _, then small "
       "letters, digits and _, 63 at most; give another `table`"},
      {stream("table: _sluice_loads"), "8:33: \"table\": names that begin with _sluice_ are sluice's own"},
      {stream("transform: [{select: [a], drop: [b]}]"),
       "8:38: a step of `transform` has one key: select, rename, cast, drop or mask; found select, drop"},
      {stream("transform: [{rename: {spend: Cost}}]"),
       "8:37: \"Cost\" cannot be the name of a column: expected a small letter or "
       "_, then small letters, digits and _, 63 at most"},
      {stream("transform: [{hash: {spend: hmac}}]"),
       "8:39: unknown key \"hash\"; known here: select, rename, cast, drop, mask"},
      {stream("transform: [{mask: {spend: hmac}}]"),
       "8:45: 'hmac' is no way to mask 'spend': expected hmac_sha256, redact or partial"},
      {stream("transform: [{mask: {spend: hmac_sha256}}]"),
       "8:45: masking 'spend' by hmac_sha256 needs a key: give the file a `mask_key: {id: 2026-11, secret: {file: "
       "PATH}}`, and make one with: openssl rand -hex 32"},
      {stream("transform: [{mask: {ad_id: redact}}]"),
       "8:45: column 'ad_id' cannot be masked so: it is part of the key, and redact would make rows alike; take "
       "hmac_sha256"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.yaml);
    const auto faults = faults_of(c.yaml);
    REQUIRE(faults.size() >= 1);
    CHECK(faults.front().substr(0, c.message.size() + 7) == "s.yaml:" + c.message);
    CHECK(faults.size() == 1);
  }
}

TEST_CASE("the key of masks is checked where it stands, and read by check only") {
  const auto with_key = [](const std::string& key) {
    return "mask_key: " + key + "\n" + stream("transform: [{mask: {ad_id: hmac_sha256}}]");
  };
  CHECK(
      faults_of(with_key("{id: \"a:b\", secret: {env: K}}")) ==
      Lines{"s.yaml:1:16: \"id\": expected a name for the key that is stored with every value, like 2026-11: letters, "
            "digits, _ and -, 32 at most"});
  CHECK(faults_of(with_key("{id: k, secret: plain}")).size() == 1);
  CHECK(faults_of(with_key("{secret: {env: K}}")).size() == 1);
  CHECK(faults_of(with_key("{id: {env: K}, secret: {env: K}}")).size() == 1);
  const auto made = read(with_key("{id: k, secret: {env: SLUICE_TEST_MASK_KEY}}"));
  REQUIRE(made.mask_key);
  CHECK(made.pipelines.at(0).streams.at(0).spec.guard);
  const auto checked = [&] {
    Lines of_key;
    for (const auto& line : lines(check_references(made)))
      if (line.starts_with("s.yaml:1:")) of_key.push_back(line);
    return of_key;
  };
  ::setenv("SLUICE_TEST_MASK_KEY", "short", 1);
  REQUIRE(checked().size() == 1);
  CHECK(checked()[0].find("openssl rand -hex 32") != std::string::npos);
  ::setenv("SLUICE_TEST_MASK_KEY", "0123456789abcdef0123456789abcdef", 1);
  CHECK(checked().empty());
  ::unsetenv("SLUICE_TEST_MASK_KEY");
  REQUIRE(checked().size() == 1);

  // Another key is another pipeline, where it masks.
  CHECK(same_pipeline(made, read(with_key("{id: k, secret: {env: SLUICE_TEST_MASK_KEY}}")), "p"));
  CHECK_FALSE(same_pipeline(made, read(with_key("{id: l, secret: {env: SLUICE_TEST_MASK_KEY}}")), "p"));
  CHECK(same_pipeline(read(stream("level: ad")), read("mask_key: {id: k, secret: {env: K}}\n" + stream("level: ad")),
                      "p"));
}

TEST_CASE("a transform's faults are told with their place") {
  const auto faults = faults_of(stream("transform: [{rename: {spent: cost}}, {drop: [ad_id]}]"));
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].starts_with("s.yaml:8:47: there is no column 'spent' here"));
  CHECK(faults[1].find("'ad_id' cannot be left out") != std::string::npos);
}

TEST_CASE("all that is wrong with a file is told at once, in its order, each thing once") {
  const auto faults = faults_of(R"(version: 1
timezone: Europe/Lundon
sources:
  fb: {type: fake_ads}
sinks:
  wh: {type: fake_db, url: x, max_connection: 3}
defaults:
  sink: wh
  schedule: {missed: newest}
pipelines:
  a: {source: fb, streams: {accounts: }}
  b: {source: fb, sink: wh, streams: {accounts: }, freshness: 3}
  c: {source: fc, streams: all}
)");
  CHECK(faults.size() == 7);
  for (const auto* place :
       {"s.yaml:2:11", "s.yaml:4:7", "s.yaml:6:31", "s.yaml:9:22", "s.yaml:12:39", "s.yaml:12:63", "s.yaml:13:15"}) {
    CAPTURE(place);
    CHECK(std::count_if(faults.begin(), faults.end(), [&](const auto& f) { return f.starts_with(place); }) == 1);
  }
}

TEST_CASE("a mistake hides no other, in its pipeline, stream, source or sink") {
  const auto faults = faults_of(R"(version: 1
retension: 90d
limits: {memory: 1KiB, concurrent: 3}
sources:
  fb: {type: fake_ads, acces_token: {env: T}}
sinks:
  wh: {type: fake_db, url: nonsense, max_connections: 1, scema: x}
pipelines:
  p:
    source: fb
    sink: wh
    timezone: UTC
    schedule: {cron: 61 * * * *}
    retry: {runs: 0}
    streams:
      insights: {levl: ad, window: {lookback: 36h}}
      campaigns: {table: {env: X}, load: {key: [idd]}}
)");
  const Lines places{"2:1: unknown key \"retension\"",
                     "3:18: \"memory\"",
                     "3:24: unknown key \"concurrent\"",
                     "5:7: \"access_token\" is missing",
                     "5:24: unknown key \"acces_token\"",
                     "7:28: \"url\": expected sense",
                     "7:55: \"max_connections\"",
                     "7:58: unknown key \"scema\"",
                     "12:5: unknown key \"timezone\"",
                     "13:22: cron \"61 * * * *\": the minute field",
                     "14:19: \"runs\"",
                     "16:18: unknown key \"levl\"",
                     "16:47: \"lookback\"",
                     "17:26: \"table\": expected the text itself",
                     "17:48: unknown column \"idd\""};
  for (const auto& fault : faults) UNSCOPED_INFO(fault);
  REQUIRE(faults.size() == places.size());
  for (std::size_t i = 0; i < places.size(); ++i) CHECK(faults[i].starts_with("s.yaml:" + places[i]));
}

TEST_CASE("what a source refuses by itself is told once, whether pipelines use it or not") {
  const auto source = [](const std::string& pipelines) {
    return "version: 1\nsources:\n  fb: {type: fake_ads, access_token: {env: T}, base_url: refused}\n"
           "sinks: {wh: {type: fake_db, url: x}}\n" +
           pipelines;
  };
  const Lines expected{"s.yaml:3:7: the source refuses its base_url"};
  CHECK(faults_of(source("")) == expected);
  CHECK(faults_of(source("pipelines:\n  a: {source: fb, sink: wh, streams: {insights: }}\n"
                         "  b: {source: fb, sink: wh, streams: {accounts: }}\n")) == expected);
}

TEST_CASE("defaults are merged deeply, and what a pipeline says wins") {
  const auto made = read(head + R"(
defaults:
  source: fb
  sink: wh
  schedule: {every: 15m, overlap: queue, jitter: 1m}
  retry: {runs: 7, backoff: 1s..2s}
  freshness: 1h
pipelines:
  plain: {streams: {accounts: }}
  own: {streams: {accounts: {table: x}}, schedule: {cron: "@daily", jitter: 2m}, retry: {runs: 2}}
  empty: {schedule: , streams: {accounts: {table: y}}}
)");
  const auto& plain = *made.pipeline("plain");
  CHECK(std::get<Duration>(plain.schedule.when) == 15min);
  CHECK(plain.retry.runs == 7);
  const auto& own = *made.pipeline("own");
  CHECK(std::holds_alternative<Cron>(own.schedule.when));
  CHECK(own.schedule.overlap == Overlap::queue);
  CHECK(own.schedule.jitter == 2min);
  CHECK(own.retry.runs == 2);
  CHECK(own.retry.most == 2s);
  CHECK(own.freshness == Duration(1h));
  CHECK(std::get<Duration>(made.pipeline("empty")->schedule.when) == 15min);
}

TEST_CASE("two enabled streams on one table are an error, and `enabled: false` is the way out") {
  const auto two = [](const std::string& first, const std::string& second) {
    return head + "pipelines:\n  a: {source: fb, sink: wh" + first + ", streams: {insights: {table: t}}}\n" +
           "  b: {source: fb, sink: wh, streams: {campaigns: {table: t" + second + "}}}\n";
  };
  CHECK(faults_of(two("", "")) ==
        Lines{"s.yaml:6:58: b/campaigns would write the table \"t\" of sink \"wh\", which a/insights "
              "writes: give one of them another `table`, or `enabled: false`"});
  CHECK(faults_of(two(", enabled: false", "")).empty());
  CHECK(faults_of(two("", ", enabled: false")).empty());
}

TEST_CASE("pipelines that wait for each other in a circle are an error") {
  const auto p = [](const std::string& name, const std::string& after) {
    return "  " + name + ": {source: fb, sink: wh, schedule: {after: " + after +
           "}, streams: {accounts: {table: " + name + "}}}\n";
  };
  CHECK(faults_of(head + "pipelines:\n" + p("a", "b") + p("b", "[c]") + p("c", "[a, d]") + p("d", "b")).size() == 2);
  CHECK(faults_of(head + "pipelines:\n" + p("a", "b") + p("b", "c") + p("c", "a")) ==
        Lines{"s.yaml:7:47: pipelines wait for each other and would never fire: a after b after c after a"});
  CHECK(faults_of(head + "pipelines:\n" + p("a", "[b, c]") + p("b", "[d]") + p("c", "[d]") +
                  "  d: {source: fb, sink: wh, streams: {accounts: }}\n")
            .empty());
}

TEST_CASE("warnings stand apart from faults") {
  const auto made = read(R"(version: 1
server:
  listen: 0.0.0.0:8321
  tokens: [{name: a, role: viewer, token: {env: A}}]
sources:
  fb: {type: fake_ads, access_token: {env: T}, base_url: "http://proxy.example/graph"}
  local: {type: fake_ads, access_token: {env: T}, base_url: "http://127.0.0.1:8080"}
  spare: {type: fake_ads, access_token: {env: T}, base_url: "http://[::1]:8080/x"}
sinks: {wh: {type: fake_db, url: x}}
pipelines:
  a: {source: fb, sink: wh, schedule: {cron: "0 3 1 * mon"}, streams: {accounts: }}
  b: {source: local, sink: wh, streams: {accounts: }}
)");
  CHECK(lines(made.warnings) ==
        Lines{"s.yaml:3:11: 0.0.0.0:8321 is not loopback and server.tls is not set: tokens cross the network in the "
              "clear, unless "
              "something in front speaks TLS",
              "s.yaml:6:58: \"base_url\" is plain http: the credential crosses the network in the clear",
              "s.yaml:8:10: source \"spare\" is used by no pipeline",
              "s.yaml:11:46: \"0 3 1 * mon\" restricts both the day of the month and the weekday: it fires on every "
              "day that "
              "matches either"});
  CHECK(lines(read("version: 1\n").warnings) == Lines{"s.yaml:1:1: there are no pipelines: nothing will be loaded"});
}

TEST_CASE("references are resolved when they are used, and check says which cannot be") {
  ::setenv("SLUICE_TEST_TOKEN", "canary-token-of-the-test", 1);
  ::setenv("SLUICE_TEST_URL", "nonsense", 1);
  ::unsetenv("SLUICE_TEST_MISSING");
  const auto made = read(R"(version: 1
server:
  tokens: [{name: ops, role: operator, token: {env: SLUICE_TEST_TOKEN}}]
sources: {fb: {type: fake_ads, access_token: {env: SLUICE_TEST_MISSING}}}
sinks:
  wh: {type: fake_db, url: {file: /nowhere/url}, password: {env: SLUICE_TEST_TOKEN}}
  odd: {type: fake_db, url: {env: SLUICE_TEST_URL}}
pipelines: {p: {source: fb, sink: wh, streams: all, exclude: log}}
)");
  CHECK(lines(check_references(made)) ==
        Lines{"s.yaml:4:46: env SLUICE_TEST_MISSING: the environment variable is not set",
              "s.yaml:6:28: file /nowhere/url: cannot be opened: No such file or directory",
              "s.yaml:7:29: \"url\" (env SLUICE_TEST_URL): expected sense"});
  const auto options = server_options(made);
  REQUIRE(options.tokens.size() == 1);
  CHECK(options.tokens[0].role == Role::operate);
  CHECK(options.tokens[0].token.equals("canary-token-of-the-test"));
  CHECK_THROWS_AS(made.source("fb")->settings.secret("access_token"), Error);
  ::unsetenv("SLUICE_TEST_TOKEN");
}

TEST_CASE("a sink that has no partitioned tables refuses partition_by with the file") {
  CHECK(faults_of("version: 1\nsources: {fb: {type: fake_ads, access_token: {env: T}}}\n"
                  "sinks: {wh: {type: fake_file, url: x}}\n"
                  "pipelines:\n  p: {source: fb, sink: wh, streams: {insights: {load: {partition_by: "
                  "month(date_start)}}}}\n") ==
        Lines{"s.yaml:5:71: \"partition_by\": sink \"wh\" is fake_file, which has no partitioned tables; remove it"});
}

TEST_CASE("a reload sees what changed and what stayed") {
  const auto base = [](const std::string& token, const std::string& level, const std::string& zone,
                       const std::string& more) {
    return read("version: 1\ntimezone: " + zone + "\nsources: {fb: {type: fake_ads, access_token: {env: " + token +
                "}}}\nsinks: {wh: {type: fake_db, url: x}}\n" + more +
                "pipelines:\n  p: {source: fb, sink: wh, schedule: {cron: \"@daily\"}, streams: {insights: {level: " +
                level + "}}}\n  q: {source: fb, sink: wh, streams: {accounts: }}\n");
  };
  const auto before = base("T", "ad", "UTC", "");
  CHECK(same_pipeline(before, base("T", "ad", "UTC", "# a comment\n\n"), "p"));
  CHECK(same_pipeline(before, base("T", "campaign", "UTC", ""), "q"));
  CHECK_FALSE(same_pipeline(before, base("T", "campaign", "UTC", ""), "p"));
  CHECK_FALSE(same_pipeline(before, base("T", "ad", "Asia/Kolkata", ""), "p"));
  CHECK_FALSE(same_pipeline(before, base("U", "ad", "UTC", ""), "q"));
  CHECK_FALSE(same_source(before, base("U", "ad", "UTC", ""), "fb"));
  CHECK(same_sink(before, base("U", "ad", "UTC", ""), "wh"));
  CHECK_FALSE(same_pipeline(before, base("T", "ad", "UTC", "defaults: {retry: {runs: 9}}\n"), "q"));
  CHECK_FALSE(same_pipeline(before, before, "r"));
}

TEST_CASE("a file that cannot be read is one clear fault") {
  const test::Folder folder;
  const auto load = [](const std::string& path) {
    Faults faults;
    CHECK_FALSE(load_configuration(path, test::fake_kinds(), faults));
    return lines(faults);
  };
  const auto missing = folder / "no.yaml";
  CHECK(load(missing) == Lines{missing + ": the configuration cannot be read: No such file or directory"});
  CHECK(load(folder.path().string()) == Lines{folder.path().string() + ": the configuration is not a regular file"});
  const auto huge = folder / "huge.yaml";
  std::ofstream(huge) << "version: 1\n";
  std::filesystem::resize_file(huge, 3 << 20);
  CHECK(load(huge) == Lines{huge + ": is larger than 1 MiB: this cannot be a sluice.yaml"});

  const auto good = folder / "good.yaml";
  std::ofstream(good) << pipeline("    streams: {accounts: }\n");
  ::chmod(good.c_str(), 0666);
  Faults faults;
  const auto made = load_configuration(good, test::fake_kinds(), faults);
  REQUIRE(made);
  CHECK(lines(made->warnings) == Lines{good + ": every user of this machine can change this file: chmod o-w " + good});
  CHECK(configuration_path(good) == good);
}
