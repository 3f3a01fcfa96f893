#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/sink.hpp"

// What has to be done to a table so that a stream's rows fit, in no particular dialect of SQL.

namespace sluice {

// A name that every sink takes as it is: [a-z_][a-z0-9_]{0,62}.
bool is_identifier(std::string_view name);
// The name in double quotes. Throws Error(give_up) when it is not an identifier.
std::string quoted_name(std::string_view name);
// "a", "b"
std::string quoted_list(std::span<const std::string> names, std::string_view prefix = {});

// The columns that sluice adds to every table, in their order.
inline constexpr std::string_view run_column = "_sluice_run";
inline constexpr std::string_view slice_column = "_sluice_slice";
inline constexpr std::string_view loaded_at_column = "_sluice_loaded_at";

struct OwnColumn {
  std::string_view name;
  Type type;
  std::string_view comment;
};
std::span<const OwnColumn> own_columns();

// sluice's bookkeeping, the same in every sink.
struct BookkeepingTable {
  struct Field {
    std::string_view name;
    Type type;
    bool required = true;
  };
  std::string_view name;
  std::string_view comment;
  std::vector<Field> columns;
  std::vector<std::string_view> key;  // empty: none
  std::vector<std::vector<std::string_view>> indexes;
};
std::span<const BookkeepingTable> bookkeeping_tables();

// A table as it stands in the sink.
struct ExistingTable {
  struct Field {
    std::string name;
    std::optional<DataType> type;  // nothing: a type that sluice does not write
    std::string native;            // as the database calls it, for messages
    Field(std::string n, std::optional<DataType> t, std::string called)
        : name(std::move(n)), type(t), native(std::move(called)) {}
  };
  std::vector<Field> columns;
  std::vector<std::string> key;      // of its primary key, in order
  std::vector<std::string> indexes;  // names

  const Field* find(std::string_view column) const;
};

struct CreateTable {};
struct AddColumn {
  std::string name;
  DataType type;
  std::string comment;
};
struct WidenColumn {
  std::string name;
  DataType from, to;
};
// The column stays as it is; rows whose value does not fit it go to the quarantine.
struct RefuseColumn {
  std::string name, why;
};
struct AddIndex {
  std::string name;
  std::vector<std::string> columns;
};
using TableAction = std::variant<CreateTable, AddColumn, WidenColumn, RefuseColumn, AddIndex>;

// The type that holds everything that both hold, where widening is allowed to get there:
// int64 → decimal → text, float64 → text. Nothing: there is none.
std::optional<DataType> widened(DataType existing, DataType wanted);
// A column of `existing` takes values of `wanted` as it is (values out of its range are refused one by one).
bool holds(DataType existing, DataType wanted);

// What is wrong with the column of a table's windows, which the table has; nothing: it tells their days apart.
std::optional<std::string> window_fault(const Table& table);

// What to do, in order. Throws Error(give_up) where the table cannot be made to fit: a changed key, a name that is not
// an identifier, a partition column outside the key, a window's column that is no date.
std::vector<TableAction> plan_table(const Table& wanted, const std::optional<ExistingTable>& existing);

// The name of the index on these columns: never longer than 63 bytes, different for different columns.
std::string index_name(std::string_view table, std::span<const std::string> columns);
// `stem` + `suffix` in 63 bytes; where it had to be cut, a digest of the stem keeps it distinct.
std::string fitted_name(std::string_view stem, std::string_view suffix);

}  // namespace sluice
