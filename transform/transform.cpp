#include "transform/transform.hpp"

#include <fmt/format.h>

#include "transform/cast.hpp"

namespace sluice {
namespace {

// The columns as the steps have left them so far.
struct Working {
  std::vector<TableColumn> columns;

  TableColumn* find(const std::string& name) {
    const auto at = std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.name == name; });
    return at == columns.end() ? nullptr : &*at;
  }

  std::string unknown(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& c : columns) names.push_back(c.name);
    const auto near = nearest_name(name, names);
    return fmt::format("there is no column '{}' here{}", name, near ? fmt::format("; did you mean '{}'?", *near) : "");
  }
};

void select(Working& working, const TransformStep& step, Faults& faults) {
  std::vector<TableColumn> chosen;
  for (const auto& name : step.columns) {
    if (const auto* column = working.find(name))
      chosen.push_back(*column);
    else
      faults.emplace_back(step.where, working.unknown(name));
  }
  working.columns = std::move(chosen);
}

// Naming a column that the stream does not have is fine: drop says what must not reach the table.
void drop(Working& working, const TransformStep& step) {
  const auto named = [&](const TableColumn& c) {
    return std::find(step.columns.begin(), step.columns.end(), c.name) != step.columns.end();
  };
  working.columns.erase(std::remove_if(working.columns.begin(), working.columns.end(), named), working.columns.end());
}

// All at once, so that two columns can swap names.
void rename(Working& working, const TransformStep& step, Faults& faults) {
  auto renamed = working.columns;
  for (const auto& [from, to] : step.pairs) {
    if (const auto* column = working.find(from))
      renamed[static_cast<std::size_t>(column - working.columns.data())].name = to;
    else
      faults.emplace_back(step.where, working.unknown(from));
  }
  working.columns = std::move(renamed);
  std::set<std::string_view> names;
  for (const auto& c : working.columns)
    if (!names.insert(c.name).second)
      faults.emplace_back(step.where, fmt::format("two columns would be called '{}'", c.name));
}

// The names that the table gives to the stream's own columns, for key and window.
std::string table_name(const StreamSpec& stream, const Working& working, const std::string& name) {
  for (const auto& c : working.columns)
    if (c.source < stream.columns.size() && stream.columns[c.source].name == name) return c.name;
  return {};
}

}  // namespace

Transform Transform::make(const StreamSpec& stream, const std::vector<TransformStep>& steps, Table& table,
                          Faults& faults) {
  Transform made;
  Working working;
  for (std::size_t i = 0; i < stream.columns.size(); ++i)
    working.columns.emplace_back(stream.columns[i].name, stream.columns[i].type, i, stream.columns[i].comment);

  for (const auto& step : steps) {
    switch (step.action) {
      case TransformStep::Action::select:
        select(working, step, faults);
        break;
      case TransformStep::Action::drop:
        drop(working, step);
        made.dropped_.insert(step.columns.begin(), step.columns.end());
        break;
      case TransformStep::Action::rename:
        rename(working, step, faults);
        break;
      case TransformStep::Action::cast:
        for (const auto& [name, text] : step.pairs) {
          auto* column = working.find(name);
          const auto type = parse_type(text);
          if (!column) faults.emplace_back(step.where, working.unknown(name));
          if (!type) faults.emplace_back(step.where, fmt::format("'{}' is not a type", text));
          if (!column || !type) continue;
          if (!can_cast(column->type, *type)) {
            faults.emplace_back(step.where, fmt::format("column '{}' is {}, which cannot be cast to {}", name,
                                                        to_string(column->type), to_string(*type)));
            continue;
          }
          made.casts_.push_back({column->source, name, column->type, *type});
          column->type = *type;
        }
        break;
    }
  }

  const auto where = steps.empty() ? stream.options.where() : steps.back().where;
  const auto kept = [&](const std::string& name, std::string_view why) {
    auto now = table_name(stream, working, name);
    if (now.empty()) faults.emplace_back(where, fmt::format("column '{}' cannot be left out: it is {}", name, why));
    return now;
  };
  table.key.clear();
  for (const auto& name : stream.key) {
    table.key.push_back(kept(name, "part of the key"));
    for (std::size_t i = 0; i < stream.columns.size(); ++i)
      if (stream.columns[i].name == name) made.key_.emplace_back(i, stream.columns[i].type.type);
  }
  table.partition_column =
      stream.partition_column.empty() ? "" : kept(stream.partition_column, "the slice's partition");
  table.cursor_column = stream.cursor_column.empty() ? "" : kept(stream.cursor_column, "what tells windows apart");
  table.cursor = stream.cursor;
  table.columns = std::move(working.columns);
  return made;
}

bool Transform::learn(std::size_t column, DataType type) {
  for (auto& [place, key_type] : key_)
    if (place == column) key_type = type.type;
  const auto first = std::find_if(casts_.begin(), casts_.end(), [&](const Cast& c) { return c.column == column; });
  if (first == casts_.end()) return false;
  first->from = type;
  return true;
}

void Transform::apply(Batch& batch) const {
  if (casts_.empty()) return;
  std::string fault;
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    for (const auto& cast : casts_) {
      const auto made = cast_cell(batch, batch.row(i)[cast.column], cast.from, cast.to, fault);
      if (made) {
        batch.row(i)[cast.column] = *made;
        continue;
      }
      Reject reject;
      reject.rule = "cast";
      reject.reason = fmt::format("column {}: {}", cast.name, fault);
      reject.raw = batch.raw(i);
      reject.key = key_text(batch, i, key_);
      batch.reject(i, std::move(reject));
      break;
    }
  }
  batch.compact();
}

}  // namespace sluice
