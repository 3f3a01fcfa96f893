#include "core/slice.hpp"

namespace sluice {

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
