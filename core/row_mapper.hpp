#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.hpp"
#include "core/schema.hpp"

namespace sluice {

// One page of an API's answer, taken apart.
struct MappedPage {
  Batch batch;
  std::string envelope;  // the page with its rows left out: {"data":[],"paging":{…}}
};

// JSON rows to cells. A row that does not fit becomes a Reject and the others go on; a page that is not JSON is an
// Error(retry).
//
// Of a stream with a guard, what the guard hides is gone before anything is read.
//
// Numbers may stand in strings; they go to int64 and decimal exactly, never through a double. A member that is missing
// is `absent`, one that is null is `null`; a missing or null part of the key is "" where the key's column is text, and
// otherwise rejects the row. Of a member that stands twice in one object the last one counts. Members of nested objects
// that no column asks for are new fields too, named by their path. A column of JSON may hold an object whole of which
// other columns read members: what they leave is in it, and no new field.
class RowMapper {
 public:
  explicit RowMapper(const StreamSpec& stream);
  // Rows that are looked up and not loaded.
  RowMapper(const std::vector<Column>& columns, const std::vector<std::string>& key);
  RowMapper(RowMapper&&) noexcept;
  RowMapper& operator=(RowMapper&&) noexcept;
  ~RowMapper();

  // Members (by path) that the source sends unasked: never new fields. A column that reads one is not affected.
  void ignore(std::string_view path);

  // The rows stand in the array `rows` of the page's top-level object; with an empty name the page is the array itself.
  MappedPage map(std::string page, std::string_view rows);
  // A reply that was saved: a page as above, an array of rows, or one row by itself.
  Batch map_saved(std::string reply, std::string_view rows);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
