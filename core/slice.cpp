#include "core/slice.hpp"

namespace sluice {

std::optional<DayWindow> parse_day_window(std::string_view text) {
  const auto dots = text.find("..");
  const auto from = parse_day(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? from : parse_day(text.substr(dots + 2));
  if (!from || !last) return {};
  return DayWindow{*from, *last + 1};
}

std::string Slice::window() const {
  if (const auto* d = day_window()) {
    if (d->from + 1 == d->to) return format_day(d->from);
    return format_day(d->from) + ".." + format_day(d->to - 1);
  }
  if (const auto* v = value_range()) return "(" + v->after.value_or("") + ", " + v->upto + "]";
  return "all";
}

std::string Slice::id() const {
  return partition_.id.empty() ? window() : partition_.id + "/" + window();
}

}  // namespace sluice
