#pragma once
#include <fstream>

#include "tests/program/program.hpp"

namespace sluice::test {

inline constexpr const char* canary_token = "EAAcanary0123456789token";

// A sluice.yaml for the simulated API and an SQLite file, in a folder of its own. The pipeline is `facebook`.
struct Setup {
  Folder folder;
  unsigned short port = unused_port();
  std::string config = folder / "sluice.yaml";
  std::string warehouse = folder / "warehouse.db";
  std::string insights = "level: ad, window: {lookback: 2d}";  // the stream's options
  std::map<std::string, std::string> environment{{"TOKEN", canary_token}};
  std::string sink = "{type: sqlite, url: \"sqlite://" + warehouse + "\"}";
  std::string state = "\"sqlite://" + (folder / "state.db") + "\"";
  std::string server;     // more of the server's settings: ", tls: {…}"
  std::string options;    // more of the pipeline, a line each
  std::string other_api;  // where not empty, the pipeline `other` loads campaigns from there into `other_warehouse`
  std::string other_warehouse = folder / "other.db";

  void write(const std::string& api, const std::string& schedule = "", const std::string& more = "") const {
    std::ofstream out(config);
    out << "version: 1\n"
        << "server: {listen: \"127.0.0.1:" << port << "\", drain_timeout: 20s" << server << "}\n"
        << "state: {url: " << state << "}\n"
        << "sources:\n"
        << source("meta", api) << (other_api.empty() ? "" : source("healthy", other_api))  //
        << "sinks:\n  warehouse: " << sink << "\n"
        << (other_api.empty() ? "" : "  notes: {type: sqlite, url: \"sqlite://" + other_warehouse + "\"}\n")
        << "pipelines:\n  facebook:\n    source: meta\n    sink: warehouse\n"
        << (schedule.empty() ? "" : "    schedule: " + schedule + "\n") << options
        << "    streams:\n      campaigns: {}\n      insights: {" << insights << "}\n"
        << (other_api.empty() ? "" : "  other: {source: healthy, sink: notes, streams: {campaigns: {}}}\n") << more;
  }
  Program start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"-c", config});
    return Program("sluice", std::move(arguments), environment);
  }

 private:
  static std::string source(const std::string& name, const std::string& api) {
    return "  " + name + ": {type: facebook_ads, base_url: \"" + api +
           "\", access_token: {env: TOKEN}, report: {poll: 50ms..200ms}, rate_limit: {rate: 200/s, burst: 200}, "
           "retry: {attempts: 2, backoff: 10ms..50ms}}\n";
  }
};

// As it was when it was first asked: a midnight meanwhile changes nothing.
inline Day today() {
  static const Day day = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  return day;
}

inline std::vector<std::string> today_frozen() {
  return {"--token", canary_token, "--today", format_day(today())};
}

inline std::vector<std::string> with_token(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--token", canary_token});
  return more;
}

}  // namespace sluice::test
