#pragma once
#include <map>
#include <string>
#include <tuple>

#include "sandbox/clevertap_data.hpp"
#include "sandbox/prepared_rows.hpp"

namespace sluice::sandbox {

// Records of events as prepared rows, where days differ in their dates alone.
class PreparedEvents {
 public:
  explicit PreparedEvents(const AppWorld& world) : world_(world) {}

  // False where records have to be written one by one.
  bool fit(const AppWorld::Include& include) const { return world_.same_every_day() && !include.events; }
  // Adds the event's record, as AppWorld::record gives it.
  void append(const AppWorld::Event& event, const AppWorld::Include& include, std::string& out);

 private:
  const AppWorld& world_;
  std::map<std::tuple<int, bool, bool>, PreparedRows> rows_;  // by kind and what is included
};

}  // namespace sluice::sandbox
