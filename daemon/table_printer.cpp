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

Colour colour_of(std::string_view word) {
  constexpr std::pair<std::string_view, Colour> words[] = {
      {"succeeded", Colour::green}, {"ok", Colour::green},         {"published", Colour::green},
      {"up", Colour::green},        {"failed", Colour::red},       {"error", Colour::red},
      {"down", Colour::red},        {"partial", Colour::yellow},   {"warning", Colour::yellow},
      {"paused", Colour::yellow},   {"cancelled", Colour::yellow}, {"running", Colour::cyan},
      {"disabled", Colour::dim}};
  for (const auto& [text, colour] : words)
    if (word == text) return colour;
  return Colour::none;
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
  const auto count = columns_.size();
  std::vector<std::size_t> widths(count);
  std::vector<bool> right(count, !rows_.empty());
  for (std::size_t c = 0; c < count; ++c) {
    widths[c] = display_width(columns_[c]);
    for (const auto& row : rows_) {
      widths[c] = std::max(widths[c], display_width(row[c]));
      if (!row[c].empty() && !numeric(row[c])) right[c] = false;
    }
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells, bool head) {
    std::size_t used = 0;
    std::string text;
    for (std::size_t c = 0; c < count; ++c) {
      const bool last = c + 1 == count;
      auto cell = cells[c];
      if (last && terminal.width > 0 && used + display_width(cell) > static_cast<std::size_t>(terminal.width))
        cell = cut(cell, static_cast<std::size_t>(terminal.width) -
                             std::min<std::size_t>(used, static_cast<std::size_t>(terminal.width) - 8));
      const auto padding = std::string(widths[c] - std::min(widths[c], display_width(cell)), ' ');
      const auto painted = paint(cell, head ? Colour::bold : colour_of(cell), terminal.colour);
      if (right[c])
        text += padding + painted;
      else
        text += painted + (last ? "" : padding);
      if (!last) text += "  ";
      used += widths[c] + 2;
    }
    while (text.ends_with(' ')) text.pop_back();
    out += text + '\n';
  };
  line(columns_, true);
  for (const auto& row : rows_) line(row, false);
  return out;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string cut(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::size_t shown = 0, end = 0;
  while (end < text.size() && (shown + 1 < width || (text[end] & 0xc0) == 0x80)) {
    if ((text[end] & 0xc0) != 0x80) ++shown;
    ++end;
  }
  while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
  return std::string(text.substr(0, end)) + "…";
}

std::string paint(std::string_view text, Colour colour, bool enabled) {
  if (!enabled || colour == Colour::none || text.empty()) return std::string(text);
  constexpr std::string_view codes[] = {"", "1", "2", "31", "32", "33", "36"};
  return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<std::size_t>(colour)], text);
}

}  // namespace sluice
