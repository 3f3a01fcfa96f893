#include "sandbox/prepared_rows.hpp"

#include <algorithm>
#include <cstring>

namespace sluice::sandbox {

void PreparedRows::add(std::string_view row, std::initializer_list<std::string_view> before_day) {
  for (const auto before : before_day) days_.push_back(text_.size() + row.find(before) + before.size());
  text_ += row;
  starts_.push_back(text_.size());
}

void PreparedRows::append(std::size_t first, std::size_t last, std::string_view day, std::string& out) const {
  const auto at = out.size(), start = starts_[first];
  out.append(text_, start, starts_[last] - start);
  const auto of_each = days_.size() / size();
  for (auto i = of_each * first; i < of_each * last; ++i)
    std::memcpy(out.data() + at + (days_[i] - start), day.data(), day.size());
}

void PreparedRows::append_days(Day begin, std::size_t first, std::size_t last, std::string& out) const {
  while (first < last) {
    const auto day = begin + static_cast<std::int64_t>(first / size());
    const auto from = first % size();
    const auto to = std::min(size(), from + (last - first));
    append(from, to, format_day(day), out);
    first += to - from;
  }
}

}  // namespace sluice::sandbox
