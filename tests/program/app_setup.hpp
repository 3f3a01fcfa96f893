#pragma once
#include "tests/program/setup.hpp"

namespace sluice::test {

// A sluice.yaml for the simulated CleverTap: the pipeline `app` loads the event Charged, of which there are eight each
// day, and its counts.
struct AppSetup {
  static constexpr int events_per_day = 8;
  static constexpr const char* stream = "app/events";

  Folder folder;
  unsigned short port = unused_port();
  std::string config = folder / "sluice.yaml";
  std::string warehouse = folder / "warehouse.db";
  std::string sink = "{type: sqlite, url: \"sqlite://" + warehouse + "\"}";
  std::string profile;                        // `api_profile:` of the source
  std::string amount_type = "decimal(18,2)";  // of the promoted property
  std::string next_profile;  // where not empty: the pipeline `app_next`, not enabled, is the same with this profile,
                             // and the amount as text

  static std::vector<std::string> sandbox() {
    return {"--token", canary_token, "--rows-per-day", std::to_string(events_per_day)};
  }
  void write(const std::string& api) const {
    std::ofstream out(config);
    out << "version: 1\n"
        << "server: {listen: \"127.0.0.1:" << port << "\", drain_timeout: 20s}\n"
        << "state: {url: \"sqlite://" << folder / "state.db"
        << "\"}\n"
        << "sources:\n"
        << source("app", api, profile) << (next_profile.empty() ? "" : source("app_next", api, next_profile))
        << "sinks:\n  warehouse: " << sink << "\n"
        << "pipelines:\n"
        << pipeline("app", "true", amount_type) << (next_profile.empty() ? "" : pipeline("app_next", "false", "text"));
  }
  Program start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"-c", config});
    return Program("sluice", std::move(arguments), {{"TOKEN", canary_token}});
  }

 private:
  static std::string source(const std::string& name, const std::string& api, const std::string& api_profile) {
    return "  " + name + ": {type: clevertap, region: in1, base_url: \"" + api +
           "\", account_id: A, passcode: {env: TOKEN}, timezone: Asia/Kolkata, rate_limit: {rate: 200/s, burst: 200}, "
           "retry: {attempts: 2, backoff: 10ms..50ms}" +
           (api_profile.empty() ? "" : ", api_profile: " + api_profile) + "}\n";
  }
  static std::string pipeline(const std::string& name, const std::string& enabled, const std::string& amount) {
    const auto days = "names: [Charged], window: {start: " + format_day(today() - 3) + ", lookback: 1d}";
    return "  " + name + ":\n    source: " + name + "\n    sink: warehouse\n    enabled: " + enabled +
           "\n    streams:\n      events: {" + days + ", promote: {amount: {path: event_props.Amount, type: \"" +
           amount + "\"}}}\n      event_counts: {" + days + "}\n";
  }
};

}  // namespace sluice::test
