#pragma once
#include "sandbox/graph.hpp"

namespace sluice::sandbox {

struct Graph::Page {
  std::size_t first = 0;
  std::size_t last = 0;  // not included
  bool more = false;
  std::string before;
  std::string after;
  std::string again;  // an empty page: the cursor that goes on
};

// The cursors of insights are the place of a row; those of objects hold the id.
std::string row_cursor(std::size_t index);
std::string object_cursor(const Object& object);
std::optional<std::int64_t> object_of_cursor(std::string_view plain);

}  // namespace sluice::sandbox
