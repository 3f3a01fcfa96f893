#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "sandbox/clevertap_data.hpp"

namespace sluice::sandbox {

// Records of events as prepared bytes: what a benchmark reads must cost next to nothing to serve. Where days differ in
// their dates alone, a record is made once; a page holds copies of them with their days put in.
class PreparedEvents {
 public:
  explicit PreparedEvents(const AppWorld& world) : world_(world) {}

  // False where records have to be written one by one.
  bool fit(const AppWorld::Include& include) const { return world_.same_every_day() && !include.events; }
  // Adds the event's record, as AppWorld::record gives it.
  void append(const AppWorld::Event& event, const AppWorld::Include& include, std::string& out);

 private:
  struct Block {
    std::string text;
    std::vector<std::size_t> starts{0};  // of each record, and the end
    std::vector<std::size_t> days;       // where its eight digits stand
  };

  const AppWorld& world_;
  std::map<std::tuple<int, bool, bool>, Block> blocks_;
};

}  // namespace sluice::sandbox
