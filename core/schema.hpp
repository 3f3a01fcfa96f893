#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/settings.hpp"
#include "core/time.hpp"

namespace sluice {

enum class Type : std::uint8_t { boolean, int64, float64, decimal, text, json, date, time, timestamp, bytes, uuid };

// A logical type. Precision and scale are decimal's; precision 0 is a decimal of any length.
struct DataType {
  Type type = Type::text;
  std::uint8_t precision = 0;
  std::uint8_t scale = 0;

  constexpr DataType() = default;
  constexpr DataType(Type t) : type(t) {}  // NOLINT: a Type is a DataType
  constexpr DataType(Type t, std::uint8_t p, std::uint8_t s) : type(t), precision(p), scale(s) {}
  bool operator==(const DataType&) const = default;
};

// "text", "int64", "decimal", "decimal(18,4)", …
std::string to_string(DataType type);
std::optional<DataType> parse_type(std::string_view text);

// One column of a stream as the source gives it.
struct Column {
  std::string name;  // snake_case, unique in the stream
  DataType type;
  std::string path;  // where it stands in the source's row: member names separated by '/', e.g. "creative/id"; empty:
                     // nowhere, the connector fills it
  bool required = false;  // a row without it is quarantined
  std::string comment;
  std::vector<std::string> aliases;  // other paths at which the source may give it
  bool open = false;  // of JSON: an object whose members the account makes up itself; `discover` lists them
  std::vector<std::string> made_of;  // paths of what the connector fills it from, where that is not its own path

  Column(std::string n, DataType t, std::string p = {}, bool r = false, std::string c = {})
      : name(std::move(n)), type(t), path(p.empty() ? name : std::move(p)), required(r), comment(std::move(c)) {}
};

// The name of a column for a field that nobody named: "creative/thumbnailUrl" → "creative_thumbnail_url". Nothing where
// none can be made that every sink takes.
std::optional<std::string> column_name(std::string_view path);

enum class Cursor {
  none,  // every read is of the whole stream
  date,  // windows of civil days in the partition's zone; complete windows are replaced
  value  // everything changed after a value: a timestamp or an id, carried as the source's own text
};

enum class LoadMode { merge, append, replace };

// What becomes of fields that the source gives and the stream does not declare.
enum class NewFields { add, keep_in_extra, ignore, fail };
// The column that keep_in_extra fills: a JSON object of the undeclared fields, NULL where there are none.
inline constexpr std::string_view extra_column = "_sluice_extra";

class RowGuard;

// What sluice knows of one stream before it reads it: the connector's catalogue entry, shaped by the stream's options.
struct StreamSpec {
  std::string name;
  std::string from;  // the connector's catalogue entry that it was made from
  std::vector<Column> columns;
  std::vector<std::string> key;  // column names; for windows it starts with the partition's and the window's
  Cursor cursor = Cursor::none;
  std::string partition_column;  // holds the partition's id in every row; empty: the stream has one partition
  std::string cursor_column;     // date: the window's day column; value: tells the newer of two rows, may be empty
  LoadMode mode = LoadMode::merge;
  std::optional<Duration> lookback;  // date: how far back each run reads again
  int slice_days = 1;                // date: days in one slice; 0: all that one run reads again
  Duration settle{};                 // value: how far the horizon stays behind the start of the read
  std::string comment;
  NewFields new_fields = NewFields::ignore;  // keep_in_extra: the last column is `extra_column`, with an empty path
  Settings options;                          // the stream's own options, as the connector's table declares them
  // What `mask` and `drop` take out of the source's rows, put there by the transform; none: rows stay as they come.
  std::shared_ptr<const RowGuard> guard;
};

}  // namespace sluice
