#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/settings.hpp"

namespace sluice {

// YAML as it was written, each value with its place: what configuration merges before it is checked against a table.
struct YamlNode {
  enum class Kind {
    null,    // nothing, ~ or null
    scalar,  // its text; `quoted` tells "5" from 5
    list,
    map,
    refused  // an alias: said already, not to be looked at again
  };
  struct Member;

  Kind kind = Kind::null;
  Where where;
  bool quoted = false;
  std::string text;
  std::vector<YamlNode> items;
  std::vector<Member> members;  // each name once; the file's order

  const YamlNode* find(std::string_view name) const;
};

struct YamlNode::Member {
  std::string name;
  Where where;
  YamlNode value;
};

// Faults: what is not YAML, or YAML that sluice refuses: duplicate keys, anchors, aliases, tags, a second document,
// text that is not UTF-8, more than 1 MiB, nesting beyond 32 levels.
YamlNode parse_yaml(std::string_view yaml, const std::string& file, Faults& faults);

// Whether a text may be a reference. What shapes pipelines and tables is known before anything runs: there it may not.
enum class References { allowed, refused };

// Checks the mapping `name` against a table and gives it typed. Every fault is found, not only the first: unknown keys
// (with the nearest known name), wrong types, missing required keys, secrets in plain text. Further checks may go on
// with what is given in spite of faults: a value that was refused counts as not given.
Settings check_settings(const YamlNode& yaml, std::span<const Option> table, Faults& faults,
                        std::string_view name = "sluice.yaml", References references = References::allowed);
// The same with a table that was put together at run time; the settings keep it alive.
Settings check_settings(const YamlNode& yaml, std::shared_ptr<const std::vector<Option>> table, Faults& faults,
                        std::string_view name = "sluice.yaml", References references = References::allowed);
// Whether all that is required was given, but for secrets, which no check reads.
bool complete(const Settings& settings);

// Both in one. The result is usable only when `faults` stayed empty.
Settings parse_settings(std::string_view yaml, const std::string& file, std::span<const Option> table, Faults& faults);

// By place, each once.
void sort_faults(Faults& faults);

// "unknown key "acces_token"; did you mean "access_token"?", or with all known names where none is near.
std::string unknown_name(std::string_view what, std::string_view name, std::span<const std::string> known);

}  // namespace sluice
