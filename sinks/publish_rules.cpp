#include "sinks/publish_rules.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/read_json.hpp"
#include "sinks/copy_encoder.hpp"

namespace sluice {
namespace {

constexpr std::string_view stray_rule = "window";

// Whether rows of the table belong to one slice, by their cells.
class Belonging {
 public:
  Belonging(const Table& table, const Slice& slice) : id_(slice.partition().id) {
    const auto scope = scope_of(table);
    if (scope != Scope::window && scope != Scope::partition) return;
    if (!table.partition_column.empty()) partition_ = table.find(table.partition_column);
    const auto* window = slice.day_window();
    if (scope != Scope::window || !window) return;
    day_ = table.find(table.cursor_column);
    from_ = window->from - Day(1970, 1, 1);
    to_ = window->to - Day(1970, 1, 1);
  }

  bool asks() const { return partition_ || day_; }

  // The column that shows that the row lies elsewhere; nothing: the row belongs.
  const TableColumn* misplaced(const Batch& batch, std::span<const Cell> cells) const {
    if (partition_ && !holds_id(batch, cells[partition_->source])) return partition_;
    if (!day_) return nullptr;
    const auto& day = cells[day_->source];
    return day.kind == Kind::int64 && day.integer >= from_ && day.integer < to_ ? nullptr : day_;
  }

 private:
  bool holds_id(const Batch& batch, const Cell& cell) const {
    if (cell.kind == Kind::text) return batch.text(cell) == id_;
    if (cell.kind == Kind::int64) return std::to_string(cell.integer) == id_;
    return cell.is_null() && id_.empty();
  }

  const std::string& id_;
  const TableColumn* partition_ = nullptr;
  const TableColumn* day_ = nullptr;
  std::int64_t from_ = 0, to_ = 0;
};

std::string key_of(const Table& table, const Batch& batch, std::size_t row) {
  std::vector<std::pair<std::size_t, Type>> parts;
  for (const auto& name : table.key) {
    const auto* column = table.find(name);
    parts.emplace_back(column->source, column->type.type);
    if (column->type.type != Type::text && batch.row(row)[column->source].is_null()) return {};
  }
  return parts.empty() ? std::string() : key_text(batch, row, parts);
}

std::string cells_json(const Table& table, const Batch& batch, std::size_t row) {
  auto object = nlohmann::json::object();
  for (const auto& column : table.columns) {
    const auto& cell = batch.row(row)[column.source];
    if (!cell.is_null()) object[column.name] = cell_text(batch, cell, column.type);
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Equal values of these types have one text, whoever wrote it down.
bool has_one_text(Type type) {
  switch (type) {
    case Type::text:
    case Type::int64:
    case Type::decimal:
    case Type::date:
    case Type::timestamp:
      return true;
    default:
      return false;
  }
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

void check_scope(const Table& table, const Slice& slice) {
  const auto scope = scope_of(table);
  if (scope == Scope::none || scope == Scope::slice) return;
  if (slice.partition().id.empty() || table.find(table.partition_column)) return;
  throw Error(Remedy::give_up,
              fmt::format("table {}: no column holds the partition ({}), so that publishing one would delete the "
                          "rows of the others; keep the column in `transform:`",
                          table.name, slice.partition().id));
}

void reject_strays(const Table& table, const Slice& slice, Batch& batch) {
  const Belonging belonging(table, slice);
  if (!belonging.asks()) return;
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    const auto* column = belonging.misplaced(batch, std::as_const(batch).row(i));
    if (!column) continue;
    auto reason = fmt::format("column {}: the row does not belong to the slice that was asked for", column->name);
    batch.reject(i, reject_of(table, batch, i, std::string(stray_rule), std::move(reason)));
  }
  batch.compact();
}

Reject reject_of(const Table& table, const Batch& batch, std::size_t row, std::string rule, std::string reason) {
  Reject reject;
  reject.key = key_of(table, batch, row);
  reject.reason = std::move(reason);
  reject.rule = std::move(rule);
  reject.raw = batch.raw(row);
  if (reject.raw.empty()) reject.raw = cells_json(table, batch, row);
  return reject;
}

Overtaken overtaken(const Slice& slice, std::span<const std::string> later_windows) {
  const auto mine = slice.window();
  if (std::find(later_windows.begin(), later_windows.end(), mine) != later_windows.end()) return Overtaken::wholly;
  const auto* window = slice.day_window();
  if (!window) return Overtaken::no;
  auto result = Overtaken::no;
  for (const auto& text : later_windows) {
    const auto later = parse_day_window(text);
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

std::vector<DayWindow> later_days(std::span<const std::string> later_windows) {
  std::vector<DayWindow> days;
  for (const auto& text : later_windows)
    if (const auto window = parse_day_window(text)) days.push_back(*window);
  return days;
}

TriedAgain tried_again(const std::vector<QuarantinedRow>& rows, std::span<const Reject> rejects) {
  std::map<std::string_view, const Reject*> by_raw;
  for (const auto& reject : rejects) by_raw.emplace(reject.raw, &reject);
  TriedAgain tried;
  for (const auto& row : rows) {
    const auto found = by_raw.find(row.raw);
    if (found == by_raw.end())
      tried.fit.push_back(row.id);
    else
      tried.refused.emplace_back(row.id, found->second);
  }
  return tried;
}

void throw_not_quarantined(const Table& table, const Slice& slice) {
  throw Error(Remedy::retry,
              fmt::format("table {}, slice {}: its rows in the quarantine changed meanwhile; nothing was "
                          "loaded, run the command again",
                          table.name, slice.id()));
}

Counts counts_of(const Replayed& done, std::int64_t inserted) {
  Counts counts;
  counts.read = done.loaded + done.skipped + done.refused;
  counts.inserted = inserted;
  counts.updated = done.loaded - inserted;
  counts.unchanged = done.skipped;
  counts.quarantined = done.refused;
  return counts;
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

std::optional<std::string> ids_of_ranges(const Slice& slice) {
  if (!slice.value_range()) return {};
  return (slice.partition().id.empty() ? "" : slice.partition().id + "/") + "(";
}

std::vector<std::string> readable_key(const Reject& reject, const Table& table) {
  if (reject.rule == stray_rule) return {};
  const auto parsed = read_json(reject.key);
  std::vector<std::string> values;
  if (!parsed.is_array() || parsed.size() != table.key.size()) return values;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    const auto& part = parsed[i];
    const auto type = table.find(table.key[i])->type.type;
    if (part.is_null() || part.is_structured() || !has_one_text(type)) return {};
    values.push_back(part.is_string() ? part.get<std::string>() : part.dump());
    if (values.back().empty() && type != Type::text) return {};
  }
  return values;
}

std::string deletion_suspended(const Slice& slice) {
  return fmt::format(
      "{}: a row in quarantine may be any row of the slice (its key cannot be read, or it lies outside), so none is "
      "deleted",
      slice.id());
}

namespace {

[[noreturn]] void throw_too_many(const Table& table, const Slice& slice, const std::string& share,
                                 std::span<const Reject> rejects) {
  std::map<std::string_view, std::int64_t> reasons;
  for (const auto& reject : rejects) ++reasons[reject.reason];
  const auto most =
      std::max_element(reasons.begin(), reasons.end(), [](auto& a, auto& b) { return a.second < b.second; });
  throw Error(Remedy::give_up,
              fmt::format("table {}, slice {}: {} rows do not fit, too many to set aside; nothing was loaded. The most "
                          "frequent reason ({} times): {}. Correct the stream's `transform:` or name a new table",
                          table.name, slice.id(), share, most->second, most->first));
}

}  // namespace

void Rejects::add(Reject reject) {
  bytes_ += reject.bytes();
  all_.push_back(std::move(reject));
  if (bytes_ > most_bytes) throw_too_many(table_, slice_, fmt::format("more than {}", all_.size() - 1), all_);
}

void Rejects::take(Batch& batch) {
  for (auto& reject : batch.rejects) add(std::move(reject));
  batch.rejects.clear();
}

void check_reject_share(const Table& table, const Slice& slice, std::int64_t read, std::span<const Reject> rejects) {
  const auto count = static_cast<std::int64_t>(rejects.size());
  if (count <= 10 || count * 10 <= read) return;
  throw_too_many(table, slice, fmt::format("{} of {}", count, read), rejects);
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
      Remedy::give_up_partition,
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
