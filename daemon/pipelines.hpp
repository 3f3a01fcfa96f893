#pragma once
#include "daemon/configuration.hpp"
#include "daemon/yaml.hpp"

namespace sluice {

// A name that the user chose: letters, digits, _ and -, at most 63. What is wrong with it, or nothing.
std::optional<std::string> name_fault(std::string_view name);
// Of sources or of pipelines, for unknown_name.
template <typename Things>
std::vector<std::string> names_of(const Things& things) {
  std::vector<std::string> names;
  for (const auto& thing : things) names.push_back(thing.name);
  return names;
}

// Adds `defaults`, `pipelines` and their warnings to a configuration whose sources and sinks are there. `faulty` names
// the sources and sinks that are in the file, and wrong: nobody needs to hear that they are missing.
void read_pipelines(const YamlNode& file, const std::vector<std::string>& faulty, const std::string& zone,
                    Configuration& configuration, Faults& faults);

// One stream of a pipeline, of a connector that is there for this only. `mask_key`: the file's, if it has one.
std::optional<StreamPlan> read_stream(const YamlNode::Member& yaml, const SourceSettings& source,
                                      const Connector& connector, std::shared_ptr<const MaskKey> mask_key,
                                      Faults& faults);

}  // namespace sluice
