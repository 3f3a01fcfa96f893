#pragma once
#include <string>
#include <vector>

#include "connectors/clevertap_profile.hpp"
#include "core/schema.hpp"

namespace sluice::ct {

std::span<const Option> stream_options();

// The streams as they are without options.
std::vector<StreamSpec> catalogue(const ApiProfile& profile);
StreamSpec configure(const std::string& from, const Settings& options, const ApiProfile& profile, Faults& faults);

// What a stream's options say; a catalogue's stream has none.
struct StreamChoice {
  std::vector<std::string> names;  // of events; none: all of the account's
  bool app = false, events = false, profile = false;
  bool reconcile = false;
  Duration history{};  // how far back the first read of an object stream looks
  explicit StreamChoice(const StreamSpec& stream);
};

}  // namespace sluice::ct
