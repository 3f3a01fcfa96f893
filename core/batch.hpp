#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/cell.hpp"
#include "core/schema.hpp"

namespace sluice {

// A row that did not fit. It is data: it is loaded into the quarantine with the slice it came from.
struct Reject {
  std::string key;     // as key_text gives it; empty when it could not be read whole
  std::string reason;  // for a person: column, what was found, what was expected
  std::string rule;    // stable, for grouping: "type", "required", "json", "cast", "window", or a connector's own
  std::string raw;     // the row as JSON

  // Held in memory.
  std::size_t bytes() const { return sizeof(Reject) + key.size() + reason.size() + rule.size() + raw.size(); }
};

// Rows of one stream on their way to a sink: row-major cells, and their texts: parts of a page, or added to an arena.
class Batch {
 public:
  explicit Batch(std::size_t width) : width_(width) {}

  std::size_t width() const { return width_; }
  std::size_t rows() const { return width_ == 0 ? 0 : cells_.size() / width_; }
  bool empty() const { return cells_.empty() && rejects.empty(); }
  // Bytes held: cells, texts, raw rows and rejects.
  std::size_t bytes() const;
  void reserve(std::size_t rows, std::size_t text_bytes);

  std::span<Cell> row(std::size_t i) { return {cells_.data() + i * width_, width_}; }
  std::span<const Cell> row(std::size_t i) const { return {cells_.data() + i * width_, width_}; }
  std::string_view text(const Cell& cell) const { return {at(cell.offset), cell.size}; }

  // A new row of NULLs; the span is good until the next add_row.
  std::span<Cell> add_row();
  // Takes the newest row back (it was rejected).
  void drop_last_row();
  // Takes over the text that many cells are parts of: its bytes stay where they are. Before all other texts.
  std::string_view adopt(std::string page);
  // Puts a text into the arena.
  Cell add_text(std::string_view text);
  // Room for `size` bytes at the end of the arena, to be written in place; `commit_text` says how many were used.
  char* grow_text(std::size_t size);
  Cell commit_text(std::size_t used);

  // The source's own JSON of the newest row: kept so that a later step can reject the row with it.
  void set_raw(std::string_view json);
  // The same where the batch has it already.
  void set_raw(const Cell& json);
  // Empty where the source has no JSON.
  std::string_view raw(std::size_t row) const;

  // Moves row `i` to the rejects. Rows keep their numbers until `compact` removes the rejected ones.
  void reject(std::size_t i, Reject why);
  // Takes row `i` out, as if the source had not given it (a second copy of an object).
  void discard(std::size_t i);
  void compact();

  std::vector<Reject> rejects;
  // Fields that the stream does not declare, with the type that their values suggest: path → type.
  std::map<std::string, DataType> unknown_fields;
  // Characters that became U+FFFD (core/clean_text.hpp).
  std::int64_t repaired = 0;
  // Rows that a filter left out.
  std::int64_t filtered = 0;

 private:
  const char* at(std::uint64_t offset) const {
    return offset < page_.size() ? page_.data() + offset : arena_.data() + (offset - page_.size());
  }

  std::size_t width_;
  std::vector<Cell> cells_;
  std::string page_, arena_;  // offsets of texts count through both
  std::size_t uncommitted_ = 0;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> raw_;
  std::vector<bool> rejected_;
};

// A row's key as one text: the JSON array of its values as texts (days as ISO dates, instants as RFC 3339, NULL as ""),
// in the order of `key`, which gives each part's place in the row and its type. The cells must still be of those types.
std::string key_text(const Batch& batch, std::size_t row, std::span<const std::pair<std::size_t, Type>> key);

}  // namespace sluice
