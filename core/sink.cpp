#include "core/sink.hpp"

namespace sluice {

const TableColumn* Table::find(std::string_view column) const {
  for (const auto& c : columns)
    if (c.name == column) return &c;
  return nullptr;
}

task<void> Load::stage(Batch batch) {
  add(std::move(batch));
  if (full()) co_await make_room();
}

Counts& Counts::operator+=(const Counts& other) {
  read += other.read;
  inserted += other.inserted;
  updated += other.updated;
  unchanged += other.unchanged;
  duplicate += other.duplicate;
  quarantined += other.quarantined;
  filtered += other.filtered;
  deleted += other.deleted;
  return *this;
}

}  // namespace sluice
