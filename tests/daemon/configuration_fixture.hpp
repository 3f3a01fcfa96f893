#pragma once
#include <catch2/catch.hpp>

#include "daemon/configuration.hpp"
#include "tests/daemon/fake_kinds.hpp"

// Reads texts as sluice.yaml.

namespace sluice::test {

using Lines = std::vector<std::string>;

inline Lines lines(const Faults& faults) {
  Lines out;
  for (const auto& fault : faults) out.push_back(to_string(fault));
  return out;
}

inline Configuration read(const std::string& yaml) {
  Faults faults;
  auto made = read_configuration(yaml, "s.yaml", fake_kinds(), faults);
  for (const auto& line : lines(faults)) UNSCOPED_INFO(line);
  REQUIRE(made);
  return std::move(*made);
}

inline Lines faults_of(const std::string& yaml) {
  Faults faults;
  const auto made = read_configuration(yaml, "s.yaml", fake_kinds(), faults);
  CHECK(made.has_value() == faults.empty());
  return lines(faults);
}

// A file with one source, one sink, and the pipeline `p` of them; `rest` continues the pipeline.
inline const std::string head = R"(version: 1
sources: {fb: {type: fake_ads, access_token: {env: T}}}
sinks: {wh: {type: fake_db, url: sqlite}}
)";
inline std::string pipeline(const std::string& rest) {
  return head + "pipelines:\n  p:\n    source: fb\n    sink: wh\n" + rest;  // `rest` begins on line 8
}
inline std::string stream(const std::string& options) {
  return pipeline("    streams: {insights: {" + options + "}}\n");
}

}  // namespace sluice::test
