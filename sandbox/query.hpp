#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/world.hpp"

namespace sluice::sandbox {

// The parameters of a call, from its query, its form and its JSON body alike.
class Params {
 public:
  void add_form(std::string_view text);
  void add_json(std::string_view text);
  void set(std::string_view name, std::string value);
  void erase(std::string_view name);

  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::string get(std::string_view name, std::string_view otherwise = {}) const;
  // "a,b" and ["a","b"] alike.
  std::vector<std::string> list(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return values_; }

 private:
  const std::string* find(std::string_view name) const;
  std::vector<std::pair<std::string, std::string>> values_;
};

// One of `fields`, with what stands in its braces: creative{id,name}
struct Field {
  std::string name;
  std::vector<Field> inner;
};
std::vector<Field> parse_fields(const std::vector<std::string>& texts);

// One of `filtering`.
struct Filter {
  std::string field;  // without prefix
  std::optional<Kind> kind;
  std::string op;
  std::vector<std::string> values;
};
std::vector<Filter> parse_filters(const Params& params, std::optional<Kind> default_kind);
// Throws bad_parameter for a field or operator that objects cannot be filtered by.
bool matches(const World& world, const Object& object, const std::vector<Filter>& filters, Instant now);
bool filters_status(const std::vector<Filter>& filters);

// `limit`, 25 where it is left out.
std::size_t page_limit(const Params& params);

}  // namespace sluice::sandbox
