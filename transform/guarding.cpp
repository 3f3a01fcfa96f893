#include "transform/guarding.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

using Hidden = Guarding::Hidden;
using What = RowGuard::Rule::What;

// Where the values of a column stand in the source's rows.
std::vector<std::string> places_of(const Column& column) {
  std::vector<std::string> places = column.aliases;
  if (!column.path.empty()) places.push_back(column.path);
  places.insert(places.end(), column.made_of.begin(), column.made_of.end());
  return places;
}

bool any_lies_in(const std::vector<std::string>& places, std::string_view above) {
  return std::any_of(places.begin(), places.end(), [&](const auto& place) { return lies_in(place, above); });
}

std::string join(const std::string& path, const std::string& inside) {
  return path.empty() || inside.empty() ? path + inside : path + "/" + inside;
}

// The members that a mask or a drop is about. The fields in `_sluice_extra` stand at the row's top.
std::vector<std::string> places_of(const Hidden& hidden, const Column& column) {
  if (column.name == extra_column) return {hidden.inside};
  std::vector<std::string> places;
  for (const auto& place : places_of(column)) places.push_back(join(place, hidden.inside));
  return places;
}

class Rules {
 public:
  Rules(StreamSpec& stream, Table& table, Faults& faults) : stream_(stream), table_(table), faults_(faults) {}

  void add(const Hidden& hidden) {
    const auto& column = stream_.columns[hidden.column];
    for (const auto& place : places_of(hidden, column)) {
      if (hidden.mask == nullptr)
        drop(hidden, column, place);
      else
        mask(hidden, place);
    }
  }

  void keep_the_others() {
    for (std::size_t i = 0; i < stream_.columns.size(); ++i)
      if (shown(i) != nullptr)
        for (const auto& place : places_of(stream_.columns[i])) rules_.push_back({What::keep, place, nullptr});
  }

  // What is blank, or gone, must not reject its row. Blank fits every JSON.
  void free_the_others() {
    for (std::size_t i = 0; i < stream_.columns.size(); ++i) {
      auto& column = stream_.columns[i];
      if (shown(i) != nullptr || column.path.empty()) continue;
      const auto places = places_of(column);
      bool needed = false, read = false, gone = false;
      for (const auto& rule : rules_) {
        const bool hides = rule.what == What::drop || rule.what == What::drop_field;
        needed |= !hides && std::find(places.begin(), places.end(), rule.path) != places.end();
        read |= !hides && any_lies_in(places, rule.path);
        gone |= hides && any_lies_in(places, rule.path);
      }
      if (!needed && (gone || !read)) column.required = false;
      if (!read) column.type = Type::json;
    }
  }

  std::vector<RowGuard::Rule> take() { return std::move(rules_); }
  std::set<std::size_t> masked_columns() const { return masked_; }

  const TableColumn* shown(std::size_t column) const {
    for (const auto& one : table_.columns)
      if (one.source == column) return &one;
    return nullptr;
  }

  // What a mask on all of the column's values, or on what they are made of, makes of the column.
  void mask_column(std::size_t i, const Hidden& hidden) {
    auto& column = stream_.columns[i];
    const auto by =
        i == hidden.column ? "it is" : fmt::format("of its values column '{}' is made, which is", column.name);
    const auto refuse = [&](const std::string& why) {
      faults_.emplace_back(hidden.where, fmt::format("column '{}' cannot be masked so: {} {}", hidden.name, by, why));
    };
    if (column.name == stream_.partition_column || column.name == stream_.cursor_column)
      return refuse("what tells the slices of the stream apart");
    const bool in_key = std::find(stream_.key.begin(), stream_.key.end(), column.name) != stream_.key.end();
    if (in_key && !hidden.mask->keeps_identity())
      return refuse(fmt::format("part of the key, and {} would make rows alike; take hmac_sha256",
                                to_string(hidden.mask->method())));
    if (column.path.empty() && !column.made_of.empty() && column.type.type != Type::text)
      return refuse(fmt::format("{}", to_string(column.type)));
    masked_.insert(i);
    if (column.type.type == Type::json) return;
    column.type = Type::text;
    for (auto& one : table_.columns)
      if (one.source == i) one.type = Type::text;
  }

 private:
  void mask(const Hidden& hidden, const std::string& place) {
    for (const auto& rule : rules_) {
      const bool other = rule.what == What::mask && rule.mask->method() != hidden.mask->method();
      if (!other || (!lies_in(rule.path, place) && !lies_in(place, rule.path))) continue;
      faults_.emplace_back(hidden.where,
                           fmt::format("what is in '{}' is masked by {} and by {}: give one way for one value",
                                       hidden.name, to_string(rule.mask->method()), to_string(hidden.mask->method())));
      return;
    }
    rules_.push_back({What::mask, place, hidden.mask});
    for (std::size_t i = 0; i < stream_.columns.size(); ++i)
      if (any_lies_in(places_of(stream_.columns[i]), place)) mask_column(i, hidden);
  }

  void drop(const Hidden& hidden, const Column& column, const std::string& place) {
    if (hidden.inside.empty() && std::find(column.made_of.begin(), column.made_of.end(), place) != column.made_of.end())
      return;  // that is another column's to drop
    for (std::size_t i = 0; i < stream_.columns.size(); ++i) {
      const auto& other = stream_.columns[i];
      if (shown(i) == nullptr) continue;
      const auto places = places_of(other);
      if (!hidden.inside.empty() && any_lies_in(places, place))
        faults_.emplace_back(hidden.where, fmt::format("'{}' cannot be dropped: column '{}' reads it; drop that too",
                                                       hidden.name, other.name));
      const bool in_key = std::find(stream_.key.begin(), stream_.key.end(), other.name) != stream_.key.end();
      if (hidden.inside.empty() && in_key && hidden.column != i && !masked(place) &&
          std::find(places.begin(), places.end(), place) != places.end())
        faults_.emplace_back(hidden.where,
                             fmt::format("column '{}' cannot be dropped as it is: '{}', part of the key, holds it too. "
                                         "Mask it by hmac_sha256, then drop it",
                                         hidden.name, other.name));
    }
    rules_.push_back({hidden.inside.empty() ? What::drop_field : What::drop, place, nullptr});
  }

  bool masked(const std::string& place) const {
    return std::any_of(rules_.begin(), rules_.end(),
                       [&](const auto& rule) { return rule.what == What::mask && lies_in(place, rule.path); });
  }

  StreamSpec& stream_;
  Table& table_;
  Faults& faults_;
  std::vector<RowGuard::Rule> rules_;
  std::set<std::size_t> masked_;
};

std::string remark(const Hidden& hidden) {
  const auto what = hidden.inside.empty() ? std::string() : hidden.inside + " ";
  return hidden.mask ? fmt::format("{}masked by {}", what, to_string(hidden.mask->method())) : what + "left out";
}

Guarding::OfCells of_cells(const Hidden& hidden, const Column& column) {
  Guarding::OfCells made{hidden.column, nullptr, nullptr, column.type};
  if (hidden.inside.empty() && column.type.type != Type::json) {
    made.mask = hidden.mask;
    return made;
  }
  std::vector<RowGuard::Rule> rules{{hidden.mask ? What::mask : What::drop, hidden.inside, hidden.mask}};
  made.inside = std::make_shared<RowGuard>(std::move(rules), std::set<std::string>(), true);
  return made;
}

}  // namespace

Guarding::Made Guarding::apply(StreamSpec& stream, Table& table, Faults& faults) const {
  Made made;
  if (hidden_.empty() && unknown_.empty()) return made;
  Rules rules(stream, table, faults);
  // Masks first: what is masked may be dropped although something else is made of it.
  for (const bool masks : {true, false}) {
    for (const auto& hidden : hidden_) {
      if ((hidden.mask != nullptr) != masks) continue;
      const auto& column = stream.columns[hidden.column];
      const bool extra = column.name == extra_column;
      if (extra && hidden.inside.empty()) {
        if (masks) faults.emplace_back(hidden.where, "mask what is in it, like _sluice_extra.email, or drop it");
        continue;
      }
      for (auto& one : table.columns)
        if (one.source == hidden.column) one.comment += (one.comment.empty() ? "" : "; ") + remark(hidden);
      const bool in_rows = extra || !places_of(column).empty();
      if (in_rows) {
        rules.add(hidden);
      } else if (rules.shown(hidden.column) != nullptr) {
        made.cells.push_back(of_cells(hidden, column));
        if (masks && hidden.inside.empty()) rules.mask_column(hidden.column, hidden);
      }
    }
  }
  rules.keep_the_others();
  rules.free_the_others();
  bool extra_shown = false;
  for (const auto& one : table.columns)
    extra_shown |= one.source < stream.columns.size() && stream.columns[one.source].name == extra_column;
  const bool keep_unknown =
      stream.new_fields == NewFields::add || (stream.new_fields == NewFields::keep_in_extra && extra_shown);
  stream.guard = std::make_shared<RowGuard>(rules.take(), unknown_, keep_unknown);
  made.masked = rules.masked_columns();
  return made;
}

}  // namespace sluice
