#pragma once
#include <span>
#include <vector>

#include "connectors/registry.hpp"
#include "core/settings.hpp"
#include "sinks/registry.hpp"

// The tables of what may stand in sluice.yaml, but for what connectors and sinks declare themselves.

namespace sluice {

// Which connectors and sinks there are.
struct Kinds {
  std::span<const ConnectorKind> connectors;
  std::span<const SinkKind> sinks;
  const ConnectorKind* connector(std::string_view type) const;
  const SinkKind* sink(std::string_view type) const;
};
// All that this program was built with.
Kinds built_in_kinds();

// The file's top level. sources, sinks, defaults and pipelines have no children here: what they hold depends on types.
std::span<const Option> file_options();
// A pipeline, without its streams' options.
std::span<const Option> pipeline_options();
// What `defaults` may hold: of a pipeline everything but its streams, nothing of it required.
std::span<const Option> default_options();
// What every stream takes, whatever its source.
std::span<const Option> common_stream_options();

std::vector<Option> source_options(const ConnectorKind& kind);
std::vector<Option> stream_options(const ConnectorKind& kind);
std::vector<Option> sink_options(const SinkKind& kind);

}  // namespace sluice
