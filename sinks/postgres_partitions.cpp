#include "sinks/postgres_partitions.hpp"

#include <fmt/format.h>

namespace sluice {
namespace {

constexpr std::size_t most_partitions = 400;  // made for one slice; further rows go to the default one

}  // namespace

PostgresPartitions::PostgresPartitions(PostgresCore& core, const Table& table, const PostgresTable& target,
                                       const LaneId& lane)
    : core_(core), table_(table), lane_(lane) {
  if (target.partitioned && table.partition_by) column_ = table.find(table.partition_by->column);
}

void PostgresPartitions::note(std::span<const Cell> row) {
  if (!column_) return;
  const auto& cell = row[column_->source];
  if (cell.kind != Kind::int64 || ranges_.size() > most_partitions) return;
  auto days = cell.integer;
  if (column_->type.type == Type::timestamp) days = std::chrono::floor<std::chrono::days>(Duration(days)).count();
  if (days >= last_range_.first && days < last_range_.second) return;
  const Day epoch(1970, 1, 1);
  const auto range = partition_range(table_.name, table_.partition_by->unit, epoch + days);
  last_range_ = {range.from - epoch, range.to - epoch};
  ranges_.emplace(range.name, range);
}

task<void> PostgresPartitions::make(pg::Connection& session) {
  constexpr std::string_view duplicate_table = "42P07";  // another process was faster
  auto& known = core_.tables.at(table_.name).partitions;
  for (const auto& [name, range] : ranges_) {
    if (known.contains(name)) continue;
    std::vector<pg::Statement> begin, create;
    begin.emplace_back("BEGIN");
    begin.emplace_back("SET LOCAL lock_timeout = '5s'");
    for (auto& sql : create_partition(table_, core_.options.schema, range)) create.emplace_back(std::move(sql));
    co_await session.exec_all(std::move(begin));
    const auto refusal = co_await session.attempt(std::move(create));
    co_await session.exec("COMMIT");
    known.insert(name);
    if (!refusal || refusal->sqlstate() == duplicate_table) continue;
    core_.events.emit(Notice{Level::warning, lane_.pipeline, lane_.stream,
                             fmt::format("the partition {} could not be made, its rows go to the default partition: {}",
                                         name, refusal->what())});
  }
}

}  // namespace sluice
