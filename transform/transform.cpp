#include "transform/transform.hpp"

#include <fmt/format.h>

#include "core/row_guard.hpp"
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

  // "profile.email" is what lies at `email` in the column profile, unless a column is called so.
  std::pair<TableColumn*, std::string> locate(const std::string& name) {
    const auto dot = name.find('.');
    if (auto* column = find(name); column != nullptr || dot == std::string::npos) return {column, {}};
    return {find(name.substr(0, dot)), name.substr(dot + 1)};
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

bool has_inside(const TableColumn& column, const std::string& inside, const Where& where, Faults& faults) {
  if (inside.empty() || column.type.type == Type::json) return true;
  faults.emplace_back(where, fmt::format("column '{}' is {}: only JSON has something inside, like '{}'", column.name,
                                         to_string(column.type), inside));
  return false;
}

// Naming a column that the stream does not have is fine: drop says what must not be stored.
void drop(Working& working, const TransformStep& step, Guarding& guarding, std::set<std::string>& dropped,
          Faults& faults) {
  for (const auto& name : step.columns) {
    const auto [column, inside] = working.locate(name);
    if (column == nullptr) {
      guarding.hide_unknown(name);
      dropped.insert(name);
      continue;
    }
    if (!has_inside(*column, inside, step.where, faults)) continue;
    guarding.hide({column->source, name, inside, nullptr, step.where});
    if (!inside.empty()) continue;
    dropped.insert(name);
    working.columns.erase(working.columns.begin() + (column - working.columns.data()));
  }
}

void mask(Working& working, const TransformStep& step, Guarding& guarding, Faults& faults) {
  for (const auto& [name, word] : step.pairs) {
    const auto [column, inside] = working.locate(name);
    const auto method = Mask::parse(word);
    if (column == nullptr) faults.emplace_back(step.where, working.unknown(name.substr(0, name.find('.'))));
    if (!method) {
      const std::vector<std::string> known{"hmac_sha256", "redact", "partial"};
      const auto near = nearest_name(word, known);
      faults.emplace_back(step.where, fmt::format("'{}' is no way to mask '{}': expected hmac_sha256, redact or "
                                                  "partial{}",
                                                  word, name, near ? "; did you mean '" + *near + "'?" : ""));
    } else if (*method == Mask::Method::hmac_sha256 && step.key == nullptr) {
      faults.emplace_back(step.where,
                          fmt::format("masking '{}' by hmac_sha256 needs a key: give the file a `mask_key: {{id: "
                                      "2026-11, secret: {{file: PATH}}}}`, and make one with: openssl rand -hex 32",
                                      name));
    } else if (column != nullptr && has_inside(*column, inside, step.where, faults)) {
      guarding.hide({column->source, name, inside, std::make_shared<Mask>(*method, step.key), step.where});
    }
  }
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

Transform Transform::make(StreamSpec& stream, const std::vector<TransformStep>& steps, Table& table, Faults& faults) {
  Transform made;
  Guarding guarding;
  Working working;
  for (std::size_t i = 0; i < stream.columns.size(); ++i)
    working.columns.emplace_back(stream.columns[i].name, stream.columns[i].type, i, stream.columns[i].comment);

  for (const auto& step : steps) {
    switch (step.action) {
      case TransformStep::Action::select:
        select(working, step, faults);
        break;
      case TransformStep::Action::drop:
        drop(working, step, guarding, made.dropped_, faults);
        break;
      case TransformStep::Action::mask:
        mask(working, step, guarding, faults);
        for (const auto& pair : step.pairs)
          if (Mask::parse(pair.second) == Mask::Method::hmac_sha256) made.key_of_masks_ = step.key;
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
          auto& casts = column->type != *type ? made.casts_ : made.idle_;
          casts.push_back({column->source, name, column->type, *type});
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
  for (const auto& name : stream.key) table.key.push_back(kept(name, "part of the key"));
  table.partition_column =
      stream.partition_column.empty() ? "" : kept(stream.partition_column, "the slice's partition");
  table.cursor_column = stream.cursor_column.empty() ? "" : kept(stream.cursor_column, "what tells windows apart");
  table.cursor = stream.cursor;
  table.columns = std::move(working.columns);
  made.hide(guarding, stream, table, where, faults);
  for (const auto& name : table.key)
    for (const auto& column : table.columns)
      if (column.name == name) made.key_.emplace_back(column.source, column.type.type);
  made.put_key_first();
  return made;
}

void Transform::put_key_first() {
  const auto of_key = [&](const Cast& cast) {
    return std::any_of(key_.begin(), key_.end(), [&](const auto& part) { return part.first == cast.column; });
  };
  const auto rest = std::stable_partition(casts_.begin(), casts_.end(), of_key);
  key_casts_ = static_cast<std::size_t>(rest - casts_.begin());
}

bool Transform::learn(std::size_t column, DataType type) {
  const auto first = std::find_if(casts_.begin(), casts_.end(), [&](const Cast& c) { return c.column == column; });
  if (first != casts_.end()) {
    first->from = type;
    return true;
  }
  const auto idle = std::find_if(idle_.begin(), idle_.end(), [&](const Cast& c) { return c.column == column; });
  if (idle != idle_.end()) {
    if (idle->to != type) casts_.push_back({column, idle->name, type, idle->to});
    put_key_first();
    return true;
  }
  for (auto& [place, key_type] : key_)
    if (place == column) key_type = type.type;
  return false;
}

void Transform::hide(const Guarding& guarding, StreamSpec& stream, Table& table, const Where& where, Faults& faults) {
  auto hidden = guarding.apply(stream, table, faults);
  for (const auto& cast : casts_)
    if (hidden.masked.contains(cast.column))
      faults.emplace_back(where,
                          fmt::format("column '{}' is masked, which makes a text of it: it cannot be cast", cast.name));
  masked_ = std::move(hidden.cells);
  texts_ = std::move(hidden.masked);
}

void Transform::load_key() const {
  if (key_of_masks_) key_of_masks_->load();
}

void Transform::mask_cells(Batch& batch) const {
  for (const auto& [column, mask, inside, was] : masked_) {
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      const auto cell = batch.row(i)[column];
      if (cell.is_null()) continue;
      const auto text = text_of(batch, cell, was);
      const auto masked = batch.add_text(inside ? inside->value(text) : mask->apply(text));
      batch.row(i)[column] = masked;
    }
  }
}

void Transform::apply(Batch& batch) const {
  mask_cells(batch);
  if (casts_.empty()) return;
  // The source wrote these keys in its own types: no row of the table may be taken for theirs.
  if (key_casts_ > 0)
    for (auto& reject : batch.rejects) reject.key.clear();
  std::string fault;
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    for (std::size_t n = 0; n < casts_.size(); ++n) {
      const auto& cast = casts_[n];
      const auto made = cast_cell(batch, batch.row(i)[cast.column], cast.from, cast.to, fault);
      if (made) {
        batch.row(i)[cast.column] = *made;
        continue;
      }
      Reject reject;
      reject.rule = "cast";
      reject.reason = fmt::format("column {}: {}", cast.name, fault);
      reject.raw = batch.raw(i);
      if (n >= key_casts_) reject.key = key_text(batch, i, key_);
      batch.reject(i, std::move(reject));
      break;
    }
  }
  batch.compact();
}

}  // namespace sluice
