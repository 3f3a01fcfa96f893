#include <sys/stat.h>

#include <fstream>

#include "tests/daemon/configuration_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

TEST_CASE("each mistake in the file has its message") {
  struct Case {
    std::string yaml;
    std::string message;
  };
  const Case cases[] = {
      {"version: 2\n", "1:10: \"version\": found 2, this sluice reads version 1"},
      {"timezone: UTC\n", "1:1: \"version\" is missing: The version of this format: 1."},
      {"version: 1\nmodels: {}\n",
       "2:1: unknown key \"models\"; known here: version, timezone, server, state, limits, retention, mask_key, "
       "sources, "
       "sinks, defaults, pipelines"},
      {"version: 1\nretention: 6h\n", "2:12: \"retention\": found \"6h\", expected at least 1d"},
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
      {stream("load: {key: []}"), "8:38: \"key\": it is empty: name its columns, or leave it out"},
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
      {stream("transform: [{rename: {date_start: day}}, {cast: {day: timestamp}}]"),
       "8:37: day tells the days of a window apart and must be a date, not timestamp: remove its cast from"},
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

TEST_CASE("a sink that has no partitioned tables refuses partition_by with the file") {
  CHECK(faults_of("version: 1\nsources: {fb: {type: fake_ads, access_token: {env: T}}}\n"
                  "sinks: {wh: {type: fake_file, url: x}}\n"
                  "pipelines:\n  p: {source: fb, sink: wh, streams: {insights: {load: {partition_by: "
                  "month(date_start)}}}}\n") ==
        Lines{"s.yaml:5:71: \"partition_by\": sink \"wh\" is fake_file, which has no partitioned tables; remove it"});
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
