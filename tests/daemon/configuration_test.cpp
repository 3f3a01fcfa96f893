#include <cstdlib>

#include "core/error.hpp"
#include "tests/daemon/configuration_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

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

TEST_CASE("an option that says what the stream is needs no `from`; a slice may be all that a run reads again") {
  const auto made =
      read(pipeline("    streams: {mine: {query: a, window: {lookback: 10d}}, other: {query: b, window: "
                    "{slice: 3d}}}\n"));
  const auto& streams = made.pipelines.at(0).streams;
  CHECK(streams.at(0).spec.name == "mine");
  CHECK(streams.at(0).slice_days == 12);
  CHECK(streams.at(1).slice_days == 3);
}

TEST_CASE("a stream without a key is appended, and merged where the file gives it one") {
  const auto made = read(pipeline("    streams: {plain: {query: a}, keyed: {query: b, load: {key: [ad_id]}}}\n"));
  const auto& streams = made.pipelines.at(0).streams;
  CHECK(streams.at(0).table.mode == LoadMode::append);
  CHECK(streams.at(0).table.key.empty());
  CHECK(streams.at(1).table.mode == LoadMode::merge);
  CHECK(streams.at(1).table.key == Lines{"account_id", "date_start", "ad_id"});
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
