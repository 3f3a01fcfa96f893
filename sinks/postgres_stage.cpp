#include "sinks/postgres_stage.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

constexpr std::size_t put_size = 64 * 1024;

bool bytes_tell_keys(const std::vector<CopyColumn>& columns) {
  return std::all_of(columns.begin(), columns.end(), [](const CopyColumn& c) { return !c.key || bytes_tell(c.oid); });
}

}  // namespace

std::vector<CopyColumn> copy_columns(const Table& table, const PostgresTable& target) {
  std::vector<CopyColumn> columns;
  const auto add = [&](const TableColumn& column, bool key) {
    const auto* there = target.find(column.name);
    if (!there)
      throw Error(Remedy::retry,
                  fmt::format("table {}: the column {} is not there; it was dropped, or the table was not prepared",
                              table.name, column.name));
    columns.emplace_back(column.name, column.source, column.type, there->oid, there->modifier, there->native, key);
  };
  for (const auto& name : table.key) add(*table.find(name), true);
  for (const auto& column : table.columns)
    if (std::find(table.key.begin(), table.key.end(), column.name) == table.key.end()) add(column, false);
  return columns;
}

PostgresStage::PostgresStage(const PostgresCore& core, const Table& table, const Slice& slice,
                             const std::vector<CopyColumn>& columns, const PostgresStatements& sql)
    : table_(table),
      slice_(slice),
      sql_(sql),
      memory_(core.options.memory_per_slice),
      encoder_(columns),
      told_by_bytes_(bytes_tell_keys(columns)),
      rows_(told_by_bytes_ && !table.key.empty()),
      being_sent_(told_by_bytes_ && !table.key.empty()),
      sent_digest_(columns),
      rejects_(table, slice) {}

void PostgresStage::add(Batch& batch) {
  rejects_.take(batch);
  for (std::size_t i = 0; i < batch.rows(); ++i) take(batch, i);
  repaired_ += batch.repaired;
}

void PostgresStage::take(Batch& batch, std::size_t i) {
  scratch_.clear();
  Reject why;
  if (!encoder_.encode(batch, i, scratch_, why)) {
    rejects_.add(reject_of(table_, batch, i, std::move(why.rule), std::move(why.reason)));
    return;
  }
  ++taken_;
  const auto key_size = size_of_key();
  const auto twin = table_.key.empty() ? EncodedRows::none : rows_.find(scratch_.view().substr(0, key_size));
  if (twin == EncodedRows::none)
    rows_.add(scratch_.view(), key_size);
  else
    merge_twins(twin, key_size);
}

std::size_t PostgresStage::size_of_key() const {
  FieldReader reader(scratch_.view());
  std::size_t size = 0;
  for (std::size_t i = 0; i < table_.key.size() && reader.next(); ++i) size += 4 + reader.bytes.size();
  return size;
}

void PostgresStage::merge_twins(std::size_t twin, std::size_t key_size) {
  ++duplicates_;
  const auto first = rows_[twin].bytes();
  const auto second = scratch_.view();
  if (first == second) return;
  const auto& columns = encoder_.columns();
  const auto different = differing_columns(columns, first, second);
  if (different.empty()) return;
  if (table_.cursor == Cursor::date) throw_contradiction(table_, slice_, different);
  if (not_older(columns, table_.cursor_column, first, second)) rows_.replace(twin, second, key_size);
}

task<void> PostgresStage::send_ahead(pg::Connection& session) {
  std::swap(rows_, being_sent_);
  if (!std::exchange(sent_ahead_, true)) {
    std::vector<pg::Statement> statements;
    statements.emplace_back("DROP TABLE IF EXISTS " + sql_.stage(true));
    statements.emplace_back(sql_.create_stage(true));
    co_await session.exec_all(std::move(statements));
  }
  sent_ += co_await copy(session, being_sent_, sql_.copy_to_stage(true), std::string());
  ++groups_;
  sent_digest_.add(being_sent_);
  being_sent_.clear();
}

std::string PostgresStage::digest() const {
  auto all = sent_digest_;
  all.add(rows_);
  return all.text();
}

task<std::int64_t> PostgresStage::copy_into_table(pg::Connection& session, std::string own_fields) {
  if (rows_.size() == 0) co_return 0;
  co_return co_await copy(session, rows_, sql_.copy_to_table(), std::move(own_fields));
}

// `suffix`: encoded fields that every row gets at its end.
task<std::int64_t> PostgresStage::copy(pg::Connection& session, const EncodedRows& rows, std::string sql,
                                       std::string suffix) {
  const auto fields = encoder_.columns().size() + (suffix.empty() ? 0 : own_columns().size());
  co_await session.begin_copy(std::move(sql));
  ByteBuffer out;
  out.append(copy_header());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    append_count(out, fields);
    out.append(rows[i].bytes());
    out.append(suffix);
    if (out.size() < put_size) continue;
    co_await session.put(out.view());
    out.clear();
  }
  out.append(copy_trailer());
  co_await session.put(out.view());
  const auto stored = co_await session.end_copy();
  if (stored != static_cast<std::int64_t>(rows.size()))
    throw Error(Remedy::retry, fmt::format("table {}, slice {}: {} rows were sent, the server stored {}", table_.name,
                                           slice_.id(), rows.size(), stored));
  co_return stored;
}

task<void> PostgresStage::gather(pg::Connection& session) {
  if (kept()) {
    if (rows_.size() > 0) co_await send_ahead(session);
    gathered_ = sent_;
  } else {
    co_await make_table(session);
    if (rows_.size() > 0) gathered_ = co_await copy(session, rows_, sql_.copy_to_stage(false), std::string());
  }
}

// Inside the transaction: it is there for good only once this commits.
task<void> PostgresStage::make_table(pg::Connection& session) {
  const auto name = sql_.stage(false), shape = sql_.create_stage(false);
  auto& made = session.session_notes[name];
  if (made == shape) co_return;
  if (!made.empty()) co_await session.exec("DROP TABLE IF EXISTS " + name);
  made = "?";
  co_await session.exec(shape);
  table_made_ = true;
}

void PostgresStage::committed(pg::Connection& session) const {
  if (table_made_) session.session_notes[sql_.stage(false)] = sql_.create_stage(false);
}

task<void> PostgresStage::merge_twins(pg::Connection& session) {
  if (table_.key.empty() || (groups_ <= 1 && told_by_bytes_)) co_return;
  const auto counted = co_await session.exec(sql_.count_duplicates(kept()));
  if (counted.integer(0, 0) == 0) co_return;
  if (table_.cursor == Cursor::date) {
    const auto flags = co_await session.exec(sql_.differing(kept()));
    std::vector<std::string> names;
    for (int i = 0; i < flags.columns(); ++i)
      if (flags.flag(0, i)) names.push_back(encoder_.columns()[static_cast<std::size_t>(i)].name);
    if (!names.empty()) throw_contradiction(table_, slice_, names);
  }
  const auto dropped = co_await session.exec(sql_.drop_duplicates(kept()));
  duplicates_ += dropped.affected();
  gathered_ -= dropped.affected();
}

}  // namespace sluice
