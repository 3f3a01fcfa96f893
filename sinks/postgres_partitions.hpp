#pragma once
#include <map>
#include <string>
#include <utility>

#include "sinks/postgres_load.hpp"

namespace sluice {

// The partitions that a slice's rows need, made on demand.
class PostgresPartitions {
 public:
  // Wants none where the table is not partitioned.
  PostgresPartitions(PostgresCore& core, const Table& table, const PostgresTable& target, const LaneId& lane);

  void note(std::span<const Cell> row);
  // Makes those that are missing. One that cannot be made is no reason to stop: the default one takes its rows, and a
  // notice says so.
  task<void> make(pg::Connection& session);

 private:
  PostgresCore& core_;
  const Table& table_;
  const LaneId& lane_;
  const TableColumn* column_ = nullptr;  // that the table is partitioned by
  std::map<std::string, PartitionRange> ranges_;
  std::pair<std::int64_t, std::int64_t> last_range_{1, 0};  // days of the newest row's partition
};

}  // namespace sluice
