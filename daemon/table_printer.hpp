#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// What the other end of a stream can show.
struct Terminal {
  bool interactive = false;  // a person looks at it: progress may be redrawn
  bool colour = false;       // and NO_COLOR does not forbid it
  int width = 0;             // columns; 0: unlimited

  static Terminal of(int fd);
};

// Columns that line up. Numbers stand right, words that mean success or failure are coloured. On a terminal nothing is
// cut: columns that do not fit go on lines of their own below, indented, and the last one, which is prose, is wrapped.
class TablePrinter {
 public:
  explicit TablePrinter(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> row);
  std::string print(const Terminal& terminal) const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// How many columns of a terminal the UTF-8 text takes, as far as one column a code point goes.
std::size_t display_width(std::string_view text);
// Cut to `width` columns, with an ellipsis where something was cut.
std::string cut(std::string_view text, std::size_t width);

enum class Colour { none, bold, dim, red, green, yellow, cyan };
std::string paint(std::string_view text, Colour colour, bool enabled);

}  // namespace sluice
