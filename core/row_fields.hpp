#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/schema.hpp"

// The members that rows of JSON have, as the row mapper knows them: those that columns ask for, and those it met.

namespace sluice {

struct RowLevel;

// A member that rows may have: a column, an object with columns inside, or a new field.
struct RowField {
  std::string name;
  std::string path;   // from the row's top: "creative/id"
  bool plain = true;  // the name stands in JSON as it is
  int column = -1;
  bool ignored = false;  // sent unasked
  std::unique_ptr<RowLevel> inner;
  std::size_t after = 0;          // the field that last followed this one
  std::optional<DataType> guess;  // of a new field, in this page
};

// The members of one object, in the order in which they were seen last: a row like the one before it is matched by
// one comparison per member.
struct RowLevel {
  std::vector<RowField> fields;
  std::vector<int> columns;  // all below
  std::string path;
  std::size_t first = 0;  // the field that rows began with last

  // The field that a path leads to, made where there is none, and the levels that it leads through.
  std::pair<std::vector<RowLevel*>, RowField&> reach(std::string_view path);
  // The place of the member whose name begins at `key` and ends with a quote before `end`, made where there is none;
  // `expected` is tried first. The number of fields where they are too many to remember one more.
  std::size_t match(const char* key, const char* end, std::size_t expected, std::int64_t& repaired);
  // The types of the new fields since it was last asked, by path. A name with a slash in it has no path.
  void take_guesses(std::map<std::string, DataType>& guesses);

 private:
  std::size_t add(std::string_view name);
  std::size_t place(std::string_view name);
  std::unordered_map<std::string, std::size_t> places_;
};

// Notes the type of one more value of a new field, which JSON's text begins.
void guess_type(RowField& field, std::string_view token);

}  // namespace sluice
