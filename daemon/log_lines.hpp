#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/events.hpp"

namespace sluice {

// An incident for people: fields stand beside the message.
struct LogLine {
  Level level = Level::info;
  std::string message;
  std::vector<std::pair<std::string_view, std::string>> fields;
  std::string fold;     // names the incident: the same one again within `fold_for` is counted; empty: never folded
  std::string words{};  // of what went wrong: where another incident has the same, it is the same
  Duration fold_for = std::chrono::minutes(1);
};

// What an event is as a line; nothing for those that are not worth one.
std::optional<LogLine> describe(const Event& event);

}  // namespace sluice
