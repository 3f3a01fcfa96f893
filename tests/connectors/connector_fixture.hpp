#pragma once
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "connectors/registry.hpp"
#include "daemon/options.hpp"
#include "daemon/yaml.hpp"
#include "net/in_flight.hpp"
#include "tests/connectors/kept_output.hpp"
#include "tests/support/events.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using nlohmann::json;

// A connector against a scripted API, in virtual time. The tests' secrets hold the word "canary": no request may have
// it in its URL or body, and no event and no error may say it.
struct ConnectorBench {
  World world;
  ScriptedHttp http{world.clock()};
  RecordedEvents seen;
  Rng rng{1};
  std::unique_ptr<Connector> connector;

  // `source`: the options of the source, as YAML.
  ConnectorBench(const ConnectorKind& kind, const std::string& name, const std::string& source)
      : kind_(kind), stream_options_(stream_options(kind)) {
    Faults faults;
    settings_ = parse_settings(source, "test.yaml", kind.source_options, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    connector = another(name);
    if (!http.requests().empty()) FAIL("made a request before it was asked for anything");
  }
  ~ConnectorBench() {
    for (const auto& one : http.requests()) {
      INFO(one.request.url << " " << one.request.body);
      CHECK(one.request.url.find("canary") == std::string::npos);
      if (path_of(one.request) == "/token") continue;  // OAuth 2: there they belong
      CHECK(one.request.body.find("canary") == std::string::npos);
    }
    for (const auto& e : seen.of<RequestRetried>()) CHECK(e.message.find("canary") == std::string::npos);
    for (const auto& e : seen.of<Throttled>()) CHECK(e.message.find("canary") == std::string::npos);
  }

  // Another source of the same process, with the same options.
  std::unique_ptr<Connector> another(const std::string& name) {
    const ConnectorContext context{name, world.executor(), world.clock(), seen, rng, &http, &in_flight_};
    return kind_.make(settings_, context);
  }

  StreamSpec stream(const std::string& from, const std::string& yaml = "{}") {
    Faults faults;
    auto spec = configure(from, yaml, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    return spec;
  }
  StreamSpec configure(const std::string& from, const std::string& yaml, Faults& faults) {
    const auto settings = parse_settings(yaml, "test.yaml", stream_options_, faults);
    return connector->configure(from, settings, faults);
  }

  KeptOutput read(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    world.run(connector->read(spec, slice, out));
    return out;
  }
  // What the reading failed with.
  template <typename E = Error>
  E failure(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    try {
      world.run(connector->read(spec, slice, out));
    } catch (const E& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find("canary") == std::string::npos);
      return error;
    }
    FAIL("it did not fail");
    throw std::logic_error("");
  }

 private:
  ConnectorKind kind_;
  InFlightLimits in_flight_;
  Settings settings_;
  std::vector<Option> stream_options_;  // what a stream may say in sluice.yaml
};

}  // namespace sluice::test
