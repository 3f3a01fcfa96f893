#include "connectors/facebook_ads_merge.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "core/row_guard.hpp"

namespace sluice::facebook {
namespace {

Cell copy_cell(Batch& to, const Batch& from, const Cell& cell) {
  return cell.kind == Kind::text ? to.add_text(from.text(cell)) : cell;
}

void copy_extras(Batch& to, const Batch& from) {
  to.unknown_fields.insert(from.unknown_fields.begin(), from.unknown_fields.end());
  to.repaired += from.repaired;
  to.filtered += from.filtered;
}

void append_row(Batch& to, const Batch& from, std::size_t row) {
  const auto source = from.row(row);
  auto target = to.add_row();
  for (std::size_t i = 0; i < source.size(); ++i) target[i] = copy_cell(to, from, source[i]);
  to.set_raw(from.raw(row));
}

// Both halves of the row as the source gave them, digit by digit: {"id":1,"a":2} and {"id":1,"b":3} are
// {"id":1,"a":2,"id":1,"b":3}.
std::string merged_raw(std::string_view a, std::string_view b) {
  const auto end = a.rfind('}');
  const auto begin = b.find('{');
  if (end == a.npos || begin == b.npos) return std::string(a);
  return std::string(a.substr(0, end)) + "," + std::string(b.substr(begin + 1));
}

}  // namespace

KeyPlaces key_places(const StreamSpec& stream) {
  KeyPlaces key;
  for (const auto& name : stream.key)
    for (std::size_t i = 0; i < stream.columns.size(); ++i)
      if (stream.columns[i].name == name) key.emplace_back(i, stream.columns[i].type.type);
  return key;
}

void append_rows(Batch& to, const Batch& from) {
  for (std::size_t row = 0; row < from.rows(); ++row) append_row(to, from, row);
  to.rejects.insert(to.rejects.end(), from.rejects.begin(), from.rejects.end());
  copy_extras(to, from);
}

Batch merge_by_key(const Batch& a, const Batch& b, std::span<const std::pair<std::size_t, Type>> key) {
  Batch merged(a.width());
  std::set<std::string> rejected;
  for (const auto* half : {&a, &b}) {
    for (const auto& reject : half->rejects) {
      if (!reject.key.empty() && !rejected.insert(reject.key).second) continue;
      merged.rejects.push_back(reject);
    }
    copy_extras(merged, *half);
  }
  std::unordered_map<std::string, std::size_t> others;
  for (std::size_t row = 0; row < b.rows(); ++row) others.emplace(key_text(b, row, key), row);
  for (std::size_t row = 0; row < a.rows(); ++row) {
    const auto name = key_text(a, row, key);
    const auto other = others.extract(name);
    if (rejected.count(name) > 0) continue;
    append_row(merged, a, row);
    if (other.empty()) continue;
    const auto source = b.row(other.mapped());
    auto target = merged.row(merged.rows() - 1);
    for (std::size_t i = 0; i < source.size(); ++i)
      if (target[i].kind == Kind::absent) target[i] = copy_cell(merged, b, source[i]);
    merged.set_raw(merged_raw(a.raw(row), b.raw(other.mapped())));
  }
  for (std::size_t row = 0; row < b.rows(); ++row) {
    const auto name = key_text(b, row, key);
    if (others.count(name) > 0 && rejected.count(name) == 0) append_row(merged, b, row);
  }
  return merged;
}

nlohmann::json guarded(const StreamSpec& stream, const nlohmann::json& row) {
  if (stream.guard == nullptr) return row;
  std::int64_t ignored = 0;
  return nlohmann::json::parse(stream.guard->page(row.dump(), "data", true, ignored));
}

}  // namespace sluice::facebook
