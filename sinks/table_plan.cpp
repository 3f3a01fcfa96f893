#include "sinks/table_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.hpp"
#include "sinks/publish_rules.hpp"

namespace sluice {
namespace {

constexpr std::size_t longest_name = 63;  // PostgreSQL's NAMEDATALEN - 1
constexpr int int64_digits = 19;

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

void check_name(std::string_view name, std::string_view what, const Table& table) {
  if (is_identifier(name)) return;
  throw Error(
      Remedy::give_up,
      fmt::format("table {}: the {} \"{}\" cannot be used in a database; rename it (lower-case letters, digits and "
                  "_, not starting with a digit, 63 characters at most)",
                  table.name, what, name));
}

void check_known(const std::string& column, std::string_view what, const Table& table) {
  if (table.find(column)) return;
  throw Error(Remedy::give_up, fmt::format("table {}: {} names the column {}, which the stream does not have",
                                           table.name, what, column));
}

void check_names(const Table& table) {
  check_name(table.name, "name", table);
  if (table.name.starts_with("_sluice_"))
    throw Error(Remedy::give_up,
                fmt::format("table {}: names that start with _sluice_ are sluice's own; set `table:`", table.name));
  std::set<std::string_view> seen;
  for (const auto& own : own_columns()) seen.insert(own.name);
  for (const auto& column : table.columns) {
    check_name(column.name, "column name", table);
    if (!seen.insert(column.name).second)
      throw Error(Remedy::give_up,
                  fmt::format("table {}: two columns are called {}; rename one", table.name, column.name));
  }
  for (const auto& column : table.key) check_known(column, "the key", table);
  for (const auto& index : table.indexes)
    for (const auto& column : index) check_known(column, "load.indexes", table);
}

void check_partitioning(const Table& table) {
  if (!table.partition_by) return;
  const auto& by = table.partition_by->column;
  check_known(by, "load.partition_by", table);
  const auto type = table.find(by)->type.type;
  if (type != Type::date && type != Type::timestamp)
    throw Error(Remedy::give_up, fmt::format("table {}: load.partition_by needs a date or timestamp, {} is {}",
                                             table.name, by, to_string(table.find(by)->type)));
  if (table.key.empty() || std::find(table.key.begin(), table.key.end(), by) != table.key.end()) return;
  throw Error(Remedy::give_up, fmt::format("table {}: load.partition_by names {}, which is not part of the key ({})",
                                           table.name, by, joined(table.key)));
}

void check_window(const Table& table) {
  if (table.cursor != Cursor::date) return;
  check_known(table.cursor_column, "the window", table);
  if (const auto why = window_fault(table)) throw Error(Remedy::give_up, fmt::format("table {}: {}", table.name, *why));
}

void check_key(const Table& wanted, const ExistingTable& existing) {
  if (wanted.key == existing.key) return;
  throw Error(
      Remedy::give_up,
      fmt::format("table {}: its primary key is ({}), the stream's key is ({}). Rows of two keys cannot share a table: "
                  "give the stream a new one with `table:`",
                  wanted.name, joined(existing.key), joined(wanted.key)));
}

TableAction adjust(const Table& table, const TableColumn& column, const ExistingTable::Field& field) {
  const auto refuse = [&](const std::string& why) {
    return RefuseColumn{column.name, fmt::format("table {}: column {} is {} and the stream's values are {}; {}",
                                                 table.name, column.name, field.native, to_string(column.type), why)};
  };
  if (!field.type) return refuse("change the column's type, or cast or rename the column in `transform:`");
  const auto to = widened(*field.type, column.type);
  if (!to) return refuse("widening cannot join them: cast or rename the column in `transform:`");
  if (table.type_changes == TypeChanges::fail)
    return refuse("`schema.types: fail` forbids to widen it: cast the column in `transform:`, or allow `types: widen`");
  const bool in_key = std::find(table.key.begin(), table.key.end(), column.name) != table.key.end();
  if (in_key) return refuse("a key column is never widened: name a new table with `table:`");
  return WidenColumn{column.name, *field.type, *to};
}

// Without a primary key, a slice that is loaded again needs an index to find the rows that it replaces.
void add_scope_index(const Table& table, std::vector<std::vector<std::string>>& indexes) {
  std::vector<std::string> columns;
  const auto scope = scope_of(table);
  if (scope == Scope::slice) columns.emplace_back(slice_column);
  if ((scope == Scope::window || scope == Scope::partition) && !table.partition_column.empty())
    columns.push_back(table.partition_column);
  if (scope == Scope::window) columns.push_back(table.cursor_column);
  if (!columns.empty() && std::find(indexes.begin(), indexes.end(), columns) == indexes.end())
    indexes.push_back(columns);
}

}  // namespace

bool is_identifier(std::string_view name) {
  if (name.empty() || name.size() > longest_name || (name.front() >= '0' && name.front() <= '9')) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::string quoted_name(std::string_view name) {
  if (!is_identifier(name))
    throw Error(Remedy::give_up,
                fmt::format("\"{}\" cannot be a name in a database: use lower-case letters, digits and _", name));
  return fmt::format("\"{}\"", name);
}

std::string quoted_list(std::span<const std::string> names, std::string_view prefix) {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += ", ";
    text += prefix;
    text += quoted_name(name);
  }
  return text;
}

std::span<const OwnColumn> own_columns() {
  static constexpr OwnColumn columns[] = {
      {run_column, Type::text, "the run of sluice that last changed the row"},
      {slice_column, Type::text, "the slice of the source that last changed the row"},
      {loaded_at_column, Type::timestamp, "when sluice last changed the row (UTC)"}};
  return columns;
}

std::span<const BookkeepingTable> bookkeeping_tables() {
  static const BookkeepingTable tables[] = {
      {"_sluice_progress",
       "how far each stream has been loaded; written in the transaction that writes the rows",
       {{"pipeline", Type::text},
        {"stream", Type::text},
        {"partition", Type::text},
        {"lane", Type::text},
        {"done_to", Type::text, false},
        {"version", Type::int64},
        {"updated_at", Type::timestamp},
        {"table_name", Type::text},
        {"days", Type::text}},
       {"pipeline", "stream", "partition", "lane"},
       {}},
      {"_sluice_loads",
       "one row per published slice",
       {{"run", Type::text},
        {"pipeline", Type::text},
        {"stream", Type::text},
        {"partition", Type::text},
        {"slice", Type::text},
        {"window", Type::text},
        {"started_at", Type::timestamp},
        {"committed_at", Type::timestamp},
        {"read", Type::int64},
        {"inserted", Type::int64},
        {"updated", Type::int64},
        {"unchanged", Type::int64},
        {"deleted", Type::int64},
        {"duplicate", Type::int64},
        {"filtered", Type::int64},
        {"quarantined", Type::int64},
        {"complete", Type::boolean},
        {"lane", Type::text},
        {"table_name", Type::text},
        {"version", Type::int64},
        {"superseded", Type::boolean},
        {"digest", Type::text, false},
        {"compared_at", Type::timestamp, false}},
       {},
       {{"table_name", "partition", "started_at"}, {"pipeline", "stream", "committed_at"}}},
      {"_sluice_quarantine",
       "rows that did not fit, with the reason; publishing a slice replaces that slice's rows",
       {{"id", Type::text},
        {"pipeline", Type::text},
        {"stream", Type::text},
        {"slice", Type::text},
        {"key", Type::text},
        {"reason", Type::text},
        {"rule", Type::text},
        {"raw", Type::text},
        {"run", Type::text},
        {"first_seen", Type::timestamp},
        {"last_seen", Type::timestamp}},
       {"id"},
       {{"pipeline", "stream", "slice"}}}};
  return tables;
}

const ExistingTable::Field* ExistingTable::find(std::string_view column) const {
  const auto found =
      std::find_if(columns.begin(), columns.end(), [&](const Field& field) { return field.name == column; });
  return found == columns.end() ? nullptr : &*found;
}

bool holds(DataType existing, DataType wanted) {
  if (existing.type == Type::text) return true;
  if (existing.type == Type::decimal) {
    if (wanted.type == Type::int64)
      return existing.precision == 0 || existing.precision - existing.scale >= int64_digits;
    if (wanted.type != Type::decimal) return false;
    if (existing.precision == 0) return true;
    return wanted.precision > 0 && existing.scale >= wanted.scale &&
           existing.precision - existing.scale >= wanted.precision - wanted.scale;
  }
  return existing.type == wanted.type;
}

std::optional<DataType> widened(DataType existing, DataType wanted) {
  if (holds(existing, wanted)) return existing;
  const auto number = [](DataType t) { return t.type == Type::int64 || t.type == Type::decimal; };
  if (number(existing) && number(wanted)) {
    const auto whole = [](DataType t) { return t.type == Type::int64 ? int64_digits : t.precision - t.scale; };
    const bool any_length = (existing.type == Type::decimal && existing.precision == 0) ||
                            (wanted.type == Type::decimal && wanted.precision == 0);
    const int scale = std::max(existing.scale, wanted.scale);
    const int precision = std::max(whole(existing), whole(wanted)) + scale;
    if (any_length || precision > 255) return DataType(Type::decimal);
    return DataType(Type::decimal, static_cast<std::uint8_t>(precision), static_cast<std::uint8_t>(scale));
  }
  const auto to_text = [&](DataType t) { return number(t) || t.type == Type::float64; };
  if (to_text(existing) && (to_text(wanted) || wanted.type == Type::text)) return DataType(Type::text);
  return {};
}

// Days are compared with the slice's window, whatever the zone: an instant or a text would need one.
std::optional<std::string> window_fault(const Table& table) {
  if (table.cursor != Cursor::date) return {};
  const auto type = table.find(table.cursor_column)->type;
  if (type.type == Type::date) return {};
  return fmt::format(
      "{} tells the days of a window apart and must be a date, not {}: remove its cast from `transform:`",
      table.cursor_column, to_string(type));
}

std::vector<TableAction> plan_table(const Table& wanted, const std::optional<ExistingTable>& existing) {
  check_names(wanted);
  check_partitioning(wanted);
  check_window(wanted);
  std::vector<TableAction> actions;
  if (!existing) {
    actions.emplace_back(CreateTable());
  } else {
    check_key(wanted, *existing);
    for (const auto& column : wanted.columns) {
      const auto* field = existing->find(column.name);
      if (!field)
        actions.emplace_back(AddColumn{column.name, column.type, column.comment});
      else if (!field->type || !holds(*field->type, column.type))
        actions.push_back(adjust(wanted, column, *field));
    }
    for (const auto& own : own_columns())
      if (!existing->find(own.name))
        actions.emplace_back(AddColumn{std::string(own.name), own.type, std::string(own.comment)});
  }
  auto indexes = wanted.indexes;
  if (wanted.key.empty()) add_scope_index(wanted, indexes);
  for (const auto& columns : indexes) {
    const auto name = index_name(wanted.name, columns);
    if (!existing || std::find(existing->indexes.begin(), existing->indexes.end(), name) == existing->indexes.end())
      actions.emplace_back(AddIndex{name, columns});
  }
  return actions;
}

std::string fitted_name(std::string_view stem, std::string_view suffix) {
  if (stem.size() + suffix.size() <= longest_name) return std::string(stem) + std::string(suffix);
  const auto digest = fmt::format("_{:08x}", static_cast<std::uint32_t>(fnv1a(stem)));
  const auto room = longest_name - std::min(longest_name, suffix.size() + digest.size());
  return std::string(stem.substr(0, room)) + digest + std::string(suffix);
}

std::string index_name(std::string_view table, std::span<const std::string> columns) {
  std::string stem(table);
  for (const auto& column : columns) stem += "_" + column;
  return fitted_name(stem, "_idx");
}

}  // namespace sluice
