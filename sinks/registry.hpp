#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/events.hpp"
#include "core/settings.hpp"
#include "core/sink.hpp"

namespace sluice {

// What a sink is given to work with; all of it outlives the sink.
struct SinkContext {
  std::string name;  // in the file
  asio::any_io_executor executor;
  Clock& clock;
  Events& events;
};

struct SinkKind {
  std::string_view type;            // `type:` in sinks
  std::span<const Option> options;  // beside type
  bool partitions;                  // its tables can be partitioned: `load.partition_by`
  // What is wrong with the text of `url`, without repeating it; nothing where it can be read.
  std::optional<std::string> (*url_fault)(const std::string& url);
  std::unique_ptr<Sink> (*make)(const Settings& settings, const SinkContext& context);
};

std::span<const SinkKind> sink_kinds();

}  // namespace sluice
