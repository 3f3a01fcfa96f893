#include "daemon/table_printer.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace sluice {
namespace {

bool numeric(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || c == ',' || c == '.' || c == '-' || c == '%';
  });
}

// Of a cell that begins with such a word: "running 12m".
Colour colour_of(std::string_view word) {
  constexpr std::pair<std::string_view, Colour> words[] = {
      {"succeeded", Colour::green}, {"ok", Colour::green},         {"published", Colour::green},
      {"up", Colour::green},        {"failed", Colour::red},       {"error", Colour::red},
      {"down", Colour::red},        {"partial", Colour::yellow},   {"warning", Colour::yellow},
      {"paused", Colour::yellow},   {"cancelled", Colour::yellow}, {"running", Colour::cyan},
      {"disabled", Colour::dim}};
  word = word.substr(0, word.find_first_of(", "));
  for (const auto& [text, colour] : words)
    if (word == text) return colour;
  return Colour::none;
}

constexpr std::size_t gap = 2;     // between columns
constexpr std::size_t indent = 4;  // of what stands below its row
constexpr std::size_t prose = 40;  // what the last column wants at least where it has to be wrapped
constexpr std::size_t least = 8;   // what it gets on the narrowest terminal

// A column, and where it stands.
struct Placed {
  std::size_t width = 0, at = 0;
  bool right = false, below = false;
};

std::size_t room_of(const Terminal& terminal) {
  return static_cast<std::size_t>(std::max(terminal.width, 0));
}

// Columns that do not fit into `room` beside those before them go on lines of their own below. 0: all fit.
void place(std::vector<Placed>& columns, std::size_t room) {
  std::size_t at = 0;
  for (auto& column : columns) {
    const auto needed = &column == &columns.back() ? std::min(column.width, prose) : column.width;
    column.below = at > 0 && room > 0 && at + needed > room;
    column.at = column.below ? indent : at;
    at = column.at + column.width + gap;
  }
}

// The bytes that the first `width` columns of the text take.
std::size_t bytes_of(std::string_view text, std::size_t width) {
  std::size_t end = 0;
  for (; end < text.size(); ++end)
    if ((text[end] & 0xc0) != 0x80 && width-- == 0) break;
  return end;
}

// Lines of at most `width` columns, broken at blanks where there are any.
std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (;;) {
    auto end = bytes_of(text, width);
    auto next = end;
    if (const auto newline = text.find('\n'); newline <= end) {
      end = newline;
      next = newline + 1;
    } else if (const auto blank = text.rfind(' ', end); end < text.size() && blank != text.npos && blank > 0) {
      end = blank;
      next = blank + 1;
    }
    lines.emplace_back(text.substr(0, end));
    if (next >= text.size()) return lines;
    text.remove_prefix(next);
  }
}

// The cells as lines, of which those below the first that hold nothing are left out.
std::string row_text(const std::vector<Placed>& columns, const std::vector<std::string>& cells,
                     const Terminal& terminal, bool head) {
  const auto room = room_of(terminal);
  std::string text, line;
  const auto begin_line = [&](std::size_t at) {
    while (line.ends_with(' ')) line.pop_back();
    if (!line.empty() || text.empty()) text += line + '\n';
    line.assign(at, ' ');
  };
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const auto& column = columns[c];
    if (column.below) begin_line(column.at);
    const bool last = c + 1 == columns.size();
    std::vector<std::string> pieces{cells[c]};
    if (last && room > 0) pieces = wrap(cells[c], std::max(room - std::min(room, column.at), least));
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) begin_line(column.at);
      const auto padding = std::string(column.width - std::min(column.width, display_width(pieces[i])), ' ');
      const auto painted = paint(pieces[i],
                                 head   ? Colour::bold
                                 : last ? Colour::none
                                        : colour_of(pieces[i]),
                                 terminal.colour);
      line += column.right ? padding + painted : painted + padding;
    }
    line.append(gap, ' ');
  }
  begin_line(0);
  return text;
}

}  // namespace

Terminal Terminal::of(int fd) {
  Terminal terminal;
  terminal.interactive = ::isatty(fd) == 1;
  if (!terminal.interactive) return terminal;
  const char* no_colour = std::getenv("NO_COLOR");  // https://no-color.org: present and not empty
  const char* term = std::getenv("TERM");
  terminal.colour = (!no_colour || !*no_colour) && term && std::string_view(term) != "dumb";
  winsize size{};
  terminal.width = ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  return terminal;
}

void TablePrinter::add(std::vector<std::string> row) {
  row.resize(columns_.size());
  rows_.push_back(std::move(row));
}

std::string TablePrinter::print(const Terminal& terminal) const {
  std::vector<Placed> columns;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    Placed column;
    column.width = display_width(columns_[c]);
    column.right = !rows_.empty();
    for (const auto& row : rows_) {
      column.width = std::max(column.width, display_width(row[c]));
      if (!row[c].empty() && !numeric(row[c])) column.right = false;
    }
    columns.push_back(column);
  }
  place(columns, room_of(terminal));
  auto text = row_text(columns, columns_, terminal, true);
  for (const auto& row : rows_) text += row_text(columns, row, terminal, false);
  return text;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string cut(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  return std::string(text.substr(0, bytes_of(text, std::max<std::size_t>(width, 1) - 1))) + "…";
}

std::string paint(std::string_view text, Colour colour, bool enabled) {
  if (!enabled || colour == Colour::none || text.empty()) return std::string(text);
  constexpr std::string_view codes[] = {"", "1", "2", "31", "32", "33", "36"};
  return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<std::size_t>(colour)], text);
}

}  // namespace sluice
