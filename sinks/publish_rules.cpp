#include "sinks/publish_rules.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.hpp"

namespace sluice {
namespace {

std::optional<DayWindow> parse_window(std::string_view text) {
  const auto dots = text.find("..");
  const auto from = parse_day(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? from : parse_day(text.substr(dots + 2));
  if (!from || !last) return {};
  return DayWindow{*from, *last + 1};
}

std::string joined(std::span<const std::string> names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Scope scope_of(const Table& table) {
  if (table.mode == LoadMode::replace) return Scope::partition;
  if (table.cursor == Cursor::date) return Scope::window;
  return table.mode == LoadMode::append ? Scope::slice : Scope::none;
}

Overtaken overtaken(const Slice& slice, std::span<const std::string> later_windows) {
  const auto mine = slice.window();
  if (std::find(later_windows.begin(), later_windows.end(), mine) != later_windows.end()) return Overtaken::wholly;
  const auto* window = slice.day_window();
  if (!window) return Overtaken::no;
  auto result = Overtaken::no;
  for (const auto& text : later_windows) {
    const auto later = parse_window(text);
    if (!later || later->to <= window->from || window->to <= later->from) continue;
    if (later->from <= window->from && window->to <= later->to) return Overtaken::wholly;
    result = Overtaken::partly;
  }
  return result;
}

void throw_overtaken(const Table& table, const Slice& slice) {
  throw Error(Remedy::retry,
              fmt::format("table {}, slice {}: a part of its window was read and published later by another "
                          "lane; the slice is read again",
                          table.name, slice.id()));
}

std::string quarantine_id(const LaneId& lane, const Slice& slice, const Reject& reject, int nth) {
  const nlohmann::json parts = {lane.pipeline, lane.stream, slice.id(), reject.key, reject.raw, nth};
  const auto text = parts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string id;
  for (int i = 0; i < 16; ++i) id += fmt::format("{:02x}", digest[i]);
  return id;
}

std::vector<std::string> quarantine_ids(const LaneId& lane, const Slice& slice, std::span<const Reject> rejects) {
  std::map<std::pair<std::string_view, std::string_view>, int> seen;
  std::vector<std::string> ids;
  ids.reserve(rejects.size());
  for (const auto& reject : rejects)
    ids.push_back(quarantine_id(lane, slice, reject, seen[{reject.key, reject.raw}]++));
  return ids;
}

std::vector<std::string> readable_key(const Reject& reject, std::size_t key_columns) {
  const auto parsed = nlohmann::json::parse(reject.key, nullptr, false);
  std::vector<std::string> values;
  if (!parsed.is_array() || parsed.size() != key_columns) return values;
  for (const auto& part : parsed) {
    if (part.is_null() || part.is_structured()) return {};
    values.push_back(part.is_string() ? part.get<std::string>() : part.dump());
  }
  return values;
}

std::string key_json(std::span<const std::string> values) {
  const nlohmann::json array(std::vector<std::string>(values.begin(), values.end()));
  return array.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string object_json(std::span<const std::pair<std::string, std::string>> fields) {
  auto object = nlohmann::json::object();
  for (const auto& [name, value] : fields) object[name] = value;
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void check_reject_share(const Table& table, const Slice& slice, std::int64_t read, std::span<const Reject> rejects) {
  const auto count = static_cast<std::int64_t>(rejects.size());
  if (count <= 10 || count * 10 <= read) return;
  std::map<std::string_view, std::int64_t> reasons;
  for (const auto& reject : rejects) ++reasons[reject.reason];
  const auto most =
      std::max_element(reasons.begin(), reasons.end(), [](auto& a, auto& b) { return a.second < b.second; });
  throw Error(
      Remedy::give_up,
      fmt::format("table {}, slice {}: {} of {} rows do not fit, too many to set aside; nothing was loaded. The most "
                  "frequent reason ({} times): {}. Correct the stream's `transform:` or name a new table",
                  table.name, slice.id(), count, read, most->second, most->first));
}

void check_balance(const Table& table, const Slice& slice, const Counts& c) {
  if (c.balanced() && c.unchanged >= 0 && c.inserted >= 0) return;
  throw Error(
      Remedy::give_up,
      fmt::format(
          "table {}, slice {}: {} rows were read, but {} inserted + {} updated + {} unchanged + {} duplicate + {} "
          "quarantined + {} filtered is not as many; nothing was loaded. Please report this",
          table.name, slice.id(), c.read, c.inserted, c.updated, c.unchanged, c.duplicate, c.quarantined, c.filtered));
}

void throw_fenced(const LaneId& lane, std::int64_t expected) {
  throw Error(
      Remedy::give_up,
      fmt::format(
          "another process has taken over {}/{} (partition \"{}\", lane {}): its progress is not at version {} any "
          "more. Nothing was written; make sure that only one sluice runs this pipeline",
          lane.pipeline, lane.stream, lane.partition, lane.lane, expected));
}

void throw_contradiction(const Table& table, const Slice& slice, std::span<const std::string> columns) {
  throw Error(
      Remedy::give_up,
      fmt::format(
          "table {}, slice {}: rows with the same key ({}) differ in {}: the key does not tell the rows apart. Add "
          "what does to the stream's key, or leave the columns out; a changed key needs a new table",
          table.name, slice.id(), joined(table.key), joined(columns)));
}

}  // namespace sluice
