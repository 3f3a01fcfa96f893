#include "daemon/configuration.hpp"

#include <algorithm>
#include <cstdlib>

#include "daemon/yaml.hpp"
#include "tests/daemon/fake_kinds.hpp"
#include "tests/fuzz/fuzz.hpp"

// A configuration is good, or every fault says where it is; reading it again gives the same.

using namespace sluice;
using fuzz::require;

namespace {

void check_places(const Faults& faults, std::string_view text) {
  const auto lines = std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }) + 2;
  for (const auto& fault : faults) {
    require(!fault.message.empty(), "a fault says what is wrong");
    require(fault.where.line >= 0 && fault.where.line <= lines, "a fault is in the file");
    require(fault.where.line == 0 || fault.where.column > 0, "a line has columns from 1");
  }
}

std::size_t depth(const YamlNode& node) {
  std::size_t deepest = 0;
  for (const auto& item : node.items) deepest = std::max(deepest, depth(item));
  for (const auto& member : node.members) deepest = std::max(deepest, depth(member.value));
  return deepest + 1;
}

void check_names(const YamlNode& node) {
  for (const auto& item : node.items) check_names(item);
  for (auto at = node.members.begin(); at != node.members.end(); ++at) {
    require(node.find(at->name) == &at->value, "each name stands once");
    check_names(at->value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  Faults yaml_faults;
  const auto yaml = parse_yaml(text, "s.yaml", yaml_faults);
  check_places(yaml_faults, text);
  if (yaml_faults.empty()) {
    require(depth(yaml) <= 34, "nesting is bounded");
    check_names(yaml);
  }

  static const auto kinds = test::fake_kinds();
  Faults faults, again;
  const auto made = read_configuration(text, "s.yaml", kinds, faults);
  require(made.has_value() == faults.empty(), "a configuration is good, or has faults");
  require(yaml_faults.empty() || !made, "what is no YAML is no configuration");
  check_places(faults, text);
  const auto second = read_configuration(text, "s.yaml", kinds, again);
  require(faults.size() == again.size() &&
              std::equal(faults.begin(), faults.end(), again.begin(),
                         [](const Fault& a, const Fault& b) { return to_string(a) == to_string(b); }),
          "the same file has the same faults");
  if (!made) return 0;
  for (const auto& pipeline : made->pipelines) {
    require(made->source(pipeline.source) && made->sink(pipeline.sink), "a pipeline has a source and a sink");
    require(same_pipeline(*made, *second, pipeline.name), "a pipeline stays itself when the file is read again");
  }
  return 0;
}
