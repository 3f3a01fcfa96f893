#include "core/slice.hpp"

namespace sluice {

std::optional<DayWindow> parse_day_window(std::string_view text) {
  const auto dots = text.find("..");
  const auto from = parse_day(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? from : parse_day(text.substr(dots + 2));
  if (!from || !last || *last < *from) return {};
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

std::optional<Slice> parse_slice(std::string_view id) {
  // Partitions may hold slashes, windows of days do not.
  const bool range = id.ends_with(']');
  const auto slash = range ? id.rfind("/(") : id.rfind('/');
  const Partition partition(std::string(id.substr(0, slash == id.npos ? 0 : slash)));
  const auto window = slash == id.npos ? id : id.substr(slash + 1);
  if (window == "all") return Slice::whole(partition);
  if (const auto days = parse_day_window(window)) return Slice::days(partition, days->from, days->to);
  const auto comma = window.find(", ");
  if (!range || !window.starts_with('(') || comma == window.npos) return {};
  std::optional<std::string> after;
  if (comma > 1) after = window.substr(1, comma - 1);
  return Slice::values(partition, std::move(after), std::string(window.substr(comma + 2, window.size() - comma - 3)));
}

std::string Slice::id() const {
  return partition_.id.empty() ? window() : partition_.id + "/" + window();
}

}  // namespace sluice
