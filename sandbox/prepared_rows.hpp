#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.hpp"

namespace sluice::sandbox {

// Rows as prepared bytes: what a benchmark reads must cost next to nothing to serve. They are written once, as of one
// day; other days have copies of them with their dates put in.
class PreparedRows {
 public:
  // The row's text, with what separates it from the next one. Its day stands behind each of `before_day`, of which all
  // rows have as many.
  void add(std::string_view row, std::initializer_list<std::string_view> before_day);
  std::size_t size() const { return starts_.size() - 1; }
  std::size_t bytes() const { return text_.size(); }

  // Adds copies of the rows from `first` up to `last`; `day` is as long as in their text.
  void append(std::size_t first, std::size_t last, std::string_view day, std::string& out) const;
  // The same of all days from `begin` on, one after another: `first` and `last` count through them.
  void append_days(Day begin, std::size_t first, std::size_t last, std::string& out) const;

 private:
  std::string text_;
  std::vector<std::size_t> starts_{0};  // of each row, and the end
  std::vector<std::size_t> days_;       // where days stand
};

}  // namespace sluice::sandbox
