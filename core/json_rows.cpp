#include "core/json_rows.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "core/error.hpp"

namespace sluice {
namespace {

constexpr std::size_t longest_part = 64u << 20;
constexpr std::size_t most_reserved = 1u << 20;  // of a part that may well stay shorter

constexpr bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Bytes that mean something outside of strings.
constexpr auto structural = [] {
  std::array<bool, 256> table{};
  for (const char c : {'"', '{', '}', '[', ']', ','}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

[[noreturn]] void broken(std::string_view what) {
  throw Error(Remedy::retry,
              fmt::format("the answer is not the JSON it should be: {}; it will be asked for again", what));
}

}  // namespace

JsonRowStream::JsonRowStream(std::string rows, std::size_t part_bytes)
    : name_('"' + std::move(rows) + '"'), part_bytes_(part_bytes) {}

std::optional<JsonRowStream::Part> JsonRowStream::next() {
  std::optional<Part> part;
  while (!part && !left_.empty()) {
    if (at_ == At::element) take(plain_run());
    if (at_ == At::rows) take(run_of_rows());
    if (left_.empty()) break;
    const char c = left_.front();
    if (at_ == At::element)
      part = in_element(c);
    else if (at_ == At::rows)
      part = in_rows(c);
    else
      part = outside(c);
  }
  return part;
}

// The place behind the string's quote, or the end of the text, which `at` is inside of.
std::size_t JsonRowStream::end_of_string(std::size_t at) {
  while (at < left_.size()) {
    const auto* found = std::memchr(left_.data() + at, '"', left_.size() - at);
    const auto quote = found ? static_cast<std::size_t>(static_cast<const char*>(found) - left_.data()) : left_.size();
    // The quote is one of the text if an odd number of backslashes comes before it.
    auto first = quote;
    while (first > at && left_[first - 1] == '\\') --first;
    escaped_ = ((quote - first) % 2 != 0) != (first == at && escaped_);
    if (!found) return quote;
    at = quote + 1;
    in_string_ = std::exchange(escaped_, false);
    if (!in_string_) break;
  }
  return at;
}

// How many of an element's bytes change nothing about where we are.
std::size_t JsonRowStream::plain_run() {
  if (in_string_) return end_of_string(0);
  std::size_t i = 0;
  while (i < left_.size() && !structural[static_cast<unsigned char>(left_[i])]) ++i;
  return i;
}

// How many of the rows' bytes belong to the part at hand: up to what closes the list, or the comma behind its last row.
std::size_t JsonRowStream::run_of_rows() {
  int depth = depth_;
  std::size_t i = in_string_ ? end_of_string(0) : 0;
  while (i < left_.size()) {
    const char c = left_[i];
    if (structural[static_cast<unsigned char>(c)]) {
      if (c == '"') {
        in_string_ = true;
        i = end_of_string(i + 1);
        continue;
      }
      if (c == '{' || c == '[')
        ++depth;
      else if (depth > 0)
        depth -= c != ',';
      else if (c != ',' || rows_text_.size() + i >= part_bytes_)
        break;
    }
    ++i;
  }
  depth_ = depth;
  return i;
}

void JsonRowStream::take(std::size_t count) {
  auto& text = buffer();
  text.append(left_.substr(0, count));
  left_.remove_prefix(count);
  if (text.size() > longest_part)
    throw Error(Remedy::give_up,
                fmt::format("one row of the answer is longer than {} bytes: ask for fewer columns", longest_part));
}

std::optional<JsonRowStream::Part> JsonRowStream::outside(char c) {
  left_.remove_prefix(1);
  if (is_space(c)) return {};
  if (at_ == At::start && c == '[') {
    at_ = At::elements;
  } else if (c == '{' && (at_ == At::start || at_ == At::elements)) {
    single_ = at_ == At::start;
    at_ = At::element;
    element_text_ = "{";
    depth_ = 1;
  } else if (at_ == At::elements && c == ']') {
    at_ = At::end;
  } else if (at_ != At::elements || c != ',') {
    broken(fmt::format("found '{}' {}", c, at_ == At::end ? "behind its end" : "where an object should begin"));
  }
  return {};
}

std::optional<JsonRowStream::Part> JsonRowStream::in_element(char c) {
  if (c == '"') {
    in_string_ = true;
    take(1);
    return {};
  }
  const bool rows_begin = c == '[' && at_rows();
  if (c == '{' || c == '[') ++depth_;
  if (c == '}' || c == ']') --depth_;
  take(1);
  if (rows_begin) {
    depth_ = 0;
    at_ = At::rows;
    begin_part();
  } else if (depth_ == 0) {
    at_ = single_ ? At::end : At::elements;
    return Part{Part::Kind::element, std::move(element_text_)};
  }
  return {};
}

// Whether what the element has brought so far ends with the key of the rows.
bool JsonRowStream::at_rows() const {
  if (depth_ != 1) return false;
  std::string_view text = element_text_;
  const auto trim = [&] {
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  };
  trim();
  if (!text.ends_with(':')) return false;
  text.remove_suffix(1);
  trim();
  if (!text.ends_with(name_)) return false;
  text.remove_suffix(name_.size());
  return !text.ends_with('\\');
}

std::optional<JsonRowStream::Part> JsonRowStream::in_rows(char c) {
  left_.remove_prefix(1);
  if (c == ',') return rows_part();
  if (c != ']') broken(fmt::format("found '{}' between its rows", c));
  auto part = rows_part();
  at_ = At::element;
  element_text_ += ']';
  depth_ = 1;
  return part;
}

void JsonRowStream::begin_part() {
  rows_text_ = "[";
  if (part_bytes_ <= most_reserved) rows_text_.reserve(part_bytes_ + part_bytes_ / 8);
}

std::optional<JsonRowStream::Part> JsonRowStream::rows_part() {
  const bool none = rows_text_.find_first_not_of("[ \r\n\t") == std::string::npos;
  rows_text_ += ']';
  Part part{Part::Kind::rows, std::move(rows_text_)};
  begin_part();
  if (none) return {};
  return part;
}

void JsonRowStream::finish() const {
  if (at_ != At::end) throw Error(Remedy::retry, "the answer breaks off before its end; it will be asked for again");
}

}  // namespace sluice
