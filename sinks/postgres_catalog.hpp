#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "db/postgres.hpp"
#include "sinks/table_plan.hpp"

// What PostgreSQL's catalogue says of a table, and the DDL that makes it fit.

namespace sluice {

struct PostgresColumn {
  std::string name;
  std::uint32_t oid = 0;
  std::int32_t modifier = -1;
  std::string native;  // "numeric(18,4)"
};

struct PostgresTable {
  std::vector<PostgresColumn> columns;
  std::vector<std::string> key;
  std::vector<std::string> indexes;
  bool partitioned = false;
  std::set<std::string> partitions;  // names

  const PostgresColumn* find(std::string_view column) const;
  ExistingTable existing() const;
};

// Nothing where there is no such table. Throws Error(give_up) when the name belongs to something else, like a view.
task<std::optional<PostgresTable>> read_table(pg::Connection& connection, const std::string& schema,
                                              const std::string& name);

// How PostgreSQL calls a logical type.
std::string postgres_type(DataType type);
std::string sql_literal(std::string_view text);
// A name that is not ours to choose, like a role's.
std::string sql_name(std::string_view name);
// The session-independent key of an advisory lock.
std::string advisory_key(std::string_view purpose);

// CREATE TABLE and what belongs to it: comments, grants, the default partition.
std::vector<std::string> create_table(const Table& table, const std::string& schema,
                                      const std::vector<std::string>& grant);
// What the bookkeeping lacks; `present`: "table.column" of what is there.
std::vector<std::string> bookkeeping_ddl(const std::string& schema, const std::set<std::string>& present);
std::vector<std::string> add_column(const Table& table, const std::string& schema, const AddColumn& action);
std::string widen_column(const Table& table, const std::string& schema, const WidenColumn& action, int server_version);
std::string add_index(const Table& table, const std::string& schema, const AddIndex& action);

// The part of a partitioned table that a day falls into.
struct PartitionRange {
  std::string name;
  Day from, to;
};
PartitionRange partition_range(const std::string& table, PartitionBy::Unit unit, Day day);
std::vector<std::string> create_partition(const Table& table, const std::string& schema, const PartitionRange& range);

}  // namespace sluice
