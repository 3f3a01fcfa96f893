#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "connectors/clevertap_api.hpp"
#include "core/row_mapper.hpp"

namespace sluice::ct {

// A page of records, with the cursor of the next one (empty: it is the last).
struct RecordPage {
  Batch batch;
  std::string next;
};

// Reads pages of records, whatever they are of. A page that is not built as the profile says, and might be something
// else than it seems, is an UnknownStructure.
class RecordReader {
 public:
  // `finish` completes the rows of a batch (columns that no record has) and may reject some; `rows` is the profile's
  // entry for the list of records.
  RecordReader(const CleverTapApi& api, const StreamSpec& stream, std::string_view rows,
               std::function<void(Batch&)> finish);

  // `path` is what was asked for.
  RecordPage page(const std::string& path, std::string body);
  // A page or a record that was saved. Throws Error(give_up) for a refusal.
  Batch saved(std::string text);

 private:
  struct Shape;
  MappedPage map(std::string body);
  void check_list(const Shape& shape) const;
  std::string next_cursor(const Shape& shape) const;
  void check_rows(const Shape& shape, const Batch& batch) const;
  [[noreturn]] void fail(const Shape& shape, const std::string& place, const std::string& expected,
                         const std::string& found) const;

  const CleverTapApi& api_;
  const ApiProfile& profile_;
  std::optional<std::size_t> properties_;  // the column without which a page is doubtful
  std::string rows_;
  RowMapper mapper_;
  std::function<void(Batch&)> finish_;
};

// Completes the rows of `events`: what the records leave out, and the values of promoted columns that CleverTap writes
// in its own way.
std::function<void(Batch&)> event_finisher(const StreamSpec& stream, const Zone& zone, std::string event);
// Completes the rows of `profiles`.
std::function<void(Batch&)> profile_finisher(const StreamSpec& stream, const ApiProfile& profile);
// Fills a column that has the same number in all rows.
std::function<void(Batch&)> number_finisher(const StreamSpec& stream, const std::string& column, std::int64_t value);

// Where a column stands in the stream's rows.
std::size_t place_of(const StreamSpec& stream, std::string_view column);

}  // namespace sluice::ct
