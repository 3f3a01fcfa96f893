#include "sinks/postgres_statements.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sinks/copy_encoder.hpp"
#include "sinks/postgres_params.hpp"

namespace sluice {
namespace {

// What a parameter is compared as: without lengths and precisions, which would cut it.
std::string_view comparison_type(std::uint32_t oid) {
  switch (oid) {
    case pg_oid::int2:
    case pg_oid::int4:
    case pg_oid::int8:
      return "bigint";
    case pg_oid::numeric:
      return "numeric";
    case pg_oid::date:
      return "date";
    case pg_oid::uuid:
      return "uuid";
    default:
      return "text";
  }
}

std::string name_of(const char* alias, std::string_view column) {
  return fmt::format("{}.{}", alias, quoted_name(column));
}

const CopyColumn* find(const std::vector<CopyColumn>& columns, std::string_view name) {
  for (const auto& column : columns)
    if (column.name == name) return &column;
  return nullptr;
}

}  // namespace

std::string array_literal(const std::vector<std::string>& values) {
  std::string literal = "{";
  for (const auto& value : values) {
    literal += literal.size() > 1 ? ",\"" : "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + '}';
}

PostgresStatements::PostgresStatements(std::string schema, const Table& table, const std::vector<CopyColumn>& columns,
                                       const LaneId& lane, const Slice& slice, std::string run, Instant read_started)
    : schema_(std::move(schema)),
      run_(std::move(run)),
      table_(table),
      columns_(columns),
      lane_(lane),
      slice_(slice),
      read_started_(read_started) {
  for (const auto& column : columns_) names_.push_back(column.name);
}

std::string PostgresStatements::target() const {
  return quoted_name(schema_) + "." + quoted_name(table_.name);
}

std::string PostgresStatements::stage(bool kept) const {
  return "pg_temp." + quoted_name(fitted_name(table_.name, kept ? "_kept" : "_stage"));
}

std::string PostgresStatements::create_stage(bool kept) const {
  std::vector<std::string> parts;
  for (const auto& column : columns_) parts.push_back(quoted_name(column.name) + " " + column.native);
  return fmt::format("CREATE TEMP TABLE {} ({}) ON COMMIT {} ROWS", stage(kept), fmt::join(parts, ", "),
                     kept ? "PRESERVE" : "DELETE");
}

std::string PostgresStatements::copy_to_stage(bool kept) const {
  return fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary)", stage(kept), quoted_list(names_));
}

std::string PostgresStatements::copy_to_table() const {
  return fmt::format("COPY {} ({}, {}, {}, {}) FROM STDIN (FORMAT binary)", target(), quoted_list(names_),
                     quoted_name(run_column), quoted_name(slice_column), quoted_name(loaded_at_column));
}

pg::Statement PostgresStatements::lock() const {
  const auto key = advisory_key(fmt::format("sluice publish {}.{} {}", schema_, table_.name, slice_.partition().id));
  return pg::Statement("SELECT pg_advisory_xact_lock($1::bigint)", {key});
}

pg::Statement PostgresStatements::fence(const Publication& publication) const {
  Params p;
  const auto pipeline = p.text(lane_.pipeline), stream = p.text(lane_.stream), partition = p.text(lane_.partition),
             lane = p.text(lane_.lane);
  const auto done = p.add(publication.done_to, "text");
  const auto into = p.text(table_.name), days = p.text(publication.days);
  const auto table = quoted_name(schema_) + ".\"_sluice_progress\"";
  std::string sql;
  if (publication.expected_version == 0) {
    sql = fmt::format(
        "INSERT INTO {} (\"pipeline\", \"stream\", \"partition\", \"lane\", \"done_to\", \"version\", \"updated_at\", "
        "\"table_name\", \"days\") VALUES ({}, {}, {}, {}, {}, 1, now(), {}, {}) ON CONFLICT DO NOTHING",
        table, pipeline, stream, partition, lane, done, into, days);
  } else {
    const auto version = p.number(publication.expected_version);
    sql = fmt::format(
        "UPDATE {0} SET \"done_to\" = CASE WHEN \"table_name\" = {2} AND \"days\" = {3} THEN coalesce({1}, "
        "\"done_to\") "
        "ELSE {1} END, \"version\" = \"version\" + 1, \"updated_at\" = now(), \"table_name\" = {2}, \"days\" = {3} "
        "WHERE \"pipeline\" = {4} AND \"stream\" = {5} AND \"partition\" = {6} AND \"lane\" = {7} AND \"version\" = "
        "{8}",
        table, done, into, days, pipeline, stream, partition, lane, version);
  }
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::later_reads() const {
  Params p;
  const auto table = p.text(table_.name), partition = p.text(slice_.partition().id), started = p.instant(read_started_),
             latest = p.instant(loaded_at_ + clocks_apart);
  auto sql = fmt::format(
      "SELECT \"window\" FROM {}.\"_sluice_loads\" WHERE \"table_name\" = {} AND \"partition\" = {} AND \"started_at\" "
      "> {} AND \"started_at\" <= {} AND NOT \"superseded\"",
      quoted_name(schema_), table, partition, started, latest);
  return pg::Statement(std::move(sql), std::move(p.values));
}

std::string PostgresStatements::scope(Params& p, const char* alias) const {
  std::string sql;
  const auto both = [&](const std::string& condition) { sql += (sql.empty() ? "" : " AND ") + condition; };
  const auto scope = scope_of(table_);
  if (scope == Scope::none) return "true";
  if (scope == Scope::slice) return name_of(alias, slice_column) + " = " + p.text(slice_.id());
  if (const auto* column = find(columns_, table_.partition_column))
    both(name_of(alias, column->name) + " = " + p.add(clean_text(slice_.partition().id), comparison_type(column->oid)));
  const auto* day = find(columns_, table_.cursor_column);
  if (const auto* window = slice_.day_window(); window && day && scope == Scope::window) {
    const auto column = name_of(alias, day->name);
    const auto type = comparison_type(day->oid);
    both(column + " >= " + p.add(format_day(window->from), type));
    both(column + " < " + p.add(format_day(window->to), type));
  }
  return sql.empty() ? "true" : sql;
}

pg::Statement PostgresStatements::count_scope() const {
  Params p;
  const auto where = scope(p, "t");
  const bool any = scope_of(table_) == Scope::none;
  auto sql =
      fmt::format("SELECT count(*) FROM (SELECT FROM {} AS t WHERE {}{}) AS x", target(), where, any ? " LIMIT 1" : "");
  return pg::Statement(std::move(sql), std::move(p.values));
}

std::string PostgresStatements::same_key(const char* a, const char* b) const {
  std::string sql;
  for (const auto& column : table_.key)
    sql += (sql.empty() ? "" : " AND ") + name_of(a, column) + " = " + name_of(b, column);
  return sql;
}

std::string PostgresStatements::own_values(Params& p) const {
  const auto run = p.text(run_), slice = p.text(slice_.id());
  return fmt::format("{}, {}, {}", run, slice, p.instant(loaded_at_));
}

std::string PostgresStatements::bookkeeping(std::string_view table) const {
  return quoted_name(schema_) + "." + quoted_name(table);
}

pg::Statement PostgresStatements::update(bool kept, const std::vector<std::string>& without) const {
  return update_where(kept, without, false);
}

pg::Statement PostgresStatements::update_older(bool kept) const {
  return update_where(kept, {}, true);
}

pg::Statement PostgresStatements::update_where(bool kept, const std::vector<std::string>& without, bool older) const {
  Params p;
  std::vector<std::string> sets, mine, theirs;
  for (const auto& column : columns_) {
    if (column.key || std::find(without.begin(), without.end(), column.name) != without.end()) continue;
    // json, unlike jsonb, has no equality.
    const auto* cast = column.oid == pg_oid::json ? "::text" : "";
    sets.push_back(fmt::format("{} = s.{}", quoted_name(column.name), quoted_name(column.name)));
    mine.push_back(name_of("t", column.name) + cast);
    theirs.push_back(name_of("s", column.name) + cast);
  }
  if (sets.empty()) return pg::Statement("UPDATE " + target() + " SET \"_sluice_run\" = \"_sluice_run\" WHERE false");
  std::string newer;
  const auto* cursor = find(columns_, table_.cursor_column);
  if (table_.cursor != Cursor::date && cursor && !cursor->key)
    newer = fmt::format(" AND (t.{0} IS NULL OR s.{0} >= t.{0})", quoted_name(cursor->name));
  const auto run = p.text(run_), slice = p.text(slice_.id()), at = p.instant(loaded_at_);
  const auto where = scope(p, "t");
  if (older)
    newer += fmt::format(
        " AND NOT EXISTS (SELECT FROM {} AS l WHERE l.\"table_name\" = {} AND l.\"partition\" = {} AND "
        "l.\"started_at\" >= {} AND l.\"run\" = t.{} AND l.\"slice\" = t.{})",
        bookkeeping("_sluice_loads"), p.text(table_.name), p.text(slice_.partition().id), p.instant(read_started_),
        quoted_name(run_column), quoted_name(slice_column));
  auto sql = fmt::format(
      "UPDATE {} AS t SET {}, {} = {}, {} = {}, {} = {} FROM {} AS s WHERE {} AND {} AND ({}) IS DISTINCT FROM ({}){}",
      target(), fmt::join(sets, ", "), quoted_name(run_column), run, quoted_name(slice_column), slice,
      quoted_name(loaded_at_column), at, stage(kept), same_key("t", "s"), where, fmt::join(mine, ", "),
      fmt::join(theirs, ", "), newer);
  return pg::Statement(std::move(sql), std::move(p.values));
}

std::string PostgresStatements::insert_into() const {
  return fmt::format("INSERT INTO {} ({}, {}, {}, {})", target(), quoted_list(names_), quoted_name(run_column),
                     quoted_name(slice_column), quoted_name(loaded_at_column));
}

std::string PostgresStatements::select_rows(Params& p, bool kept) const {
  return fmt::format(" SELECT {}, {} FROM {} AS s", quoted_list(names_, "s."), own_values(p), stage(kept));
}

pg::Statement PostgresStatements::insert_all(bool kept) const {
  Params p;
  auto sql = insert_into() + select_rows(p, kept);
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::insert_new(bool kept) const {
  Params p;
  auto sql = insert_into() + select_rows(p, kept);
  const auto where = scope(p, "t");
  sql += fmt::format(" WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {} AND {}) ON CONFLICT DO NOTHING", target(),
                     same_key("t", "s"), where);
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::delete_scope() const {
  Params p;
  const auto where = scope(p, "t");
  return pg::Statement(fmt::format("DELETE FROM {} AS t WHERE {}", target(), where), std::move(p.values));
}

pg::Statement PostgresStatements::delete_missing(bool kept, const std::vector<std::vector<std::string>>& spared) const {
  Params p;
  const auto where = scope(p, "t");
  auto sql = fmt::format("DELETE FROM {} AS t WHERE {} AND NOT EXISTS (SELECT FROM {} AS s WHERE {})", target(), where,
                         stage(kept), same_key("t", "s"));
  if (!spared.empty()) {
    std::vector<std::string> arrays, names, same;
    for (std::size_t i = 0; i < table_.key.size(); ++i) {
      std::vector<std::string> values;
      for (const auto& key : spared) values.push_back(clean_text(key[i]));
      arrays.push_back(p.add(array_literal(values), "text[]"));
      names.push_back(fmt::format("k{}", i));
      same.push_back(fmt::format("q.k{} = {}::text", i, name_of("t", table_.key[i])));
    }
    sql += fmt::format(" AND NOT EXISTS (SELECT FROM unnest({}) AS q ({}) WHERE {})", fmt::join(arrays, ", "),
                       fmt::join(names, ", "), fmt::join(same, " AND "));
  }
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::count_duplicates(bool kept) const {
  const auto key = quoted_list(table_.key);
  return pg::Statement(fmt::format(
      "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {} GROUP BY {} HAVING count(*) > 1) AS d",
      stage(kept), key));
}

pg::Statement PostgresStatements::differing(bool kept) const {
  std::vector<std::string> flags, firsts;
  for (const auto& column : columns_) {
    const auto name = quoted_name(column.name);
    const auto value = column.oid == pg_oid::json ? name + "::text" : name;
    flags.push_back(fmt::format("coalesce(bool_or(d.{}), false)", name));
    firsts.push_back(
        fmt::format("(count(DISTINCT {0}) > 1 OR (count({0}) > 0 AND count({0}) < count(*))) AS {1}", value, name));
  }
  return pg::Statement(fmt::format("SELECT {} FROM (SELECT {} FROM {} GROUP BY {} HAVING count(*) > 1) AS d",
                                   fmt::join(flags, ", "), fmt::join(firsts, ", "), stage(kept),
                                   quoted_list(table_.key)));
}

pg::Statement PostgresStatements::drop_duplicates(bool kept) const {
  const auto* cursor = find(columns_, table_.cursor_column);
  const auto newest =
      cursor && table_.cursor != Cursor::date ? quoted_name(cursor->name) + " DESC NULLS LAST, " : std::string();
  return pg::Statement(
      fmt::format("DELETE FROM {0} AS s USING (SELECT ctid AS at, row_number() OVER (PARTITION BY {1} ORDER BY {2}ctid "
                  "DESC) AS n FROM {0}) AS d "
                  "WHERE s.ctid = d.at AND d.n > 1",
                  stage(kept), quoted_list(table_.key), newest));
}

pg::Statement PostgresStatements::drop_days(bool kept, const std::vector<DayWindow>& days) const {
  Params p;
  const auto* day = find(columns_, table_.cursor_column);
  const auto type = comparison_type(day->oid);
  std::vector<std::string> windows;
  for (const auto& window : days) {
    const auto from = p.add(format_day(window.from), type), to = p.add(format_day(window.to), type);
    windows.push_back(fmt::format("({0} >= {1} AND {0} < {2})", quoted_name(day->name), from, to));
  }
  return pg::Statement(fmt::format("DELETE FROM {} WHERE {}", stage(kept), fmt::join(windows, " OR ")),
                       std::move(p.values));
}

pg::Statement PostgresStatements::last_publishes() const {
  Params p;
  const auto table = p.text(table_.name), partition = p.text(slice_.partition().id), window = p.text(slice_.window());
  const auto mine = fmt::format("\"table_name\" = {} AND \"partition\" = {} AND NOT \"superseded\"", table, partition);
  auto sql = fmt::format(
      "SELECT \"window\", \"digest\", CASE WHEN \"compared_at\" > now() - interval '1 day' THEN \"compared_at\" END "
      "FROM "
      "{0}.\"_sluice_loads\" WHERE {1} AND \"committed_at\" >= (SELECT \"committed_at\" FROM {0}.\"_sluice_loads\" "
      "WHERE {1} AND \"window\" = {2} ORDER BY \"committed_at\" DESC LIMIT 1) ORDER BY \"window\" <> {2}, "
      "\"committed_at\" DESC",
      quoted_name(schema_), mine, window);
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::ledger(const LedgerEntry& entry) const {
  const auto& c = entry.counts;
  Params p;
  const std::vector<std::pair<std::string, std::string>> fields{
      {"run", p.text(run_)},
      {"pipeline", p.text(lane_.pipeline)},
      {"stream", p.text(lane_.stream)},
      {"partition", p.text(lane_.partition)},
      {"slice", p.text(slice_.id())},
      {"window", p.text(slice_.window())},
      {"started_at", p.instant(read_started_)},
      {"committed_at", "clock_timestamp()"},
      {"read", p.number(c.read)},
      {"inserted", p.number(c.inserted)},
      {"updated", p.number(c.updated)},
      {"unchanged", p.number(c.unchanged)},
      {"deleted", p.number(c.deleted)},
      {"duplicate", p.number(c.duplicate)},
      {"filtered", p.number(c.filtered)},
      {"quarantined", p.number(c.quarantined)},
      {"complete", p.flag(entry.complete)},
      {"lane", p.text(lane_.lane)},
      {"table_name", p.text(table_.name)},
      {"version", p.number(entry.version)},
      {"superseded", p.flag(entry.superseded)},
      {"digest", p.add(entry.digest, "text")},
      {"compared_at", entry.compared_at ? p.add(entry.compared_at, "timestamptz") : "now()"}};
  std::vector<std::string> names, values;
  for (const auto& [name, value] : fields) {
    names.push_back(quoted_name(name));
    values.push_back(value);
  }
  auto sql = fmt::format("INSERT INTO {}.\"_sluice_loads\" ({}) VALUES ({})", quoted_name(schema_),
                         fmt::join(names, ", "), fmt::join(values, ", "));
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::committed(std::int64_t version) const {
  Params p;
  const auto table = p.text(table_.name), partition = p.text(lane_.partition), started = p.instant(read_started_),
             pipeline = p.text(lane_.pipeline), stream = p.text(lane_.stream), lane = p.text(lane_.lane),
             run = p.text(run_), number = p.number(version);
  auto sql = fmt::format(
      "SELECT 1 FROM {}.\"_sluice_loads\" WHERE \"table_name\" = {} AND \"partition\" = {} AND \"started_at\" = {} AND "
      "\"pipeline\" = {} AND \"stream\" = {} AND \"lane\" = {} AND \"run\" = {} AND \"version\" = {}",
      quoted_name(schema_), table, partition, started, pipeline, stream, lane, run, number);
  return pg::Statement(std::move(sql), std::move(p.values));
}

bool PostgresStatements::comparable_as_text(std::uint32_t oid) {
  switch (oid) {
    case pg_oid::text:
    case pg_oid::varchar:
    case pg_oid::int2:
    case pg_oid::int4:
    case pg_oid::int8:
    case pg_oid::date:
      return true;
    default:
      return false;
  }
}

}  // namespace sluice
