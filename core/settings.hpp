#pragma once
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/secret.hpp"
#include "core/time.hpp"

// What may stand in sluice.yaml is declared in tables of `Option`. The parser, the JSON Schema, docs/configuration.md
// and the error messages all come from the same tables, so that none of them can lie.

namespace sluice {

// What kind of value an option takes.
enum class Value {
  text,
  secret,  // text that is never printed; only as a reference: {env: NAME}, {file: PATH}, {credential: NAME}
  integer,
  boolean,
  duration,    // "30s"
  size,        // "64MiB"
  percent,     // "75%"
  rate,        // "10/s", "600/m", "5000/h"
  range,       // of durations: "1s..5m"
  day,         // "2025-01-01"
  zone,        // IANA name
  type,        // "decimal(18,4)"
  choice,      // one of `choices`
  text_list,   // [a, b]; a single text is a list of one
  text_lists,  // [[a, b], [c]]
  text_map,    // {name: text}
  table,       // a mapping with the keys of `children`
  tables,      // a list of those
  named        // {any name: a mapping with the keys of `children`}
};

struct Option {
  std::string_view name;
  Value value;
  std::string_view help;           // one sentence, for docs, schema and errors
  std::string_view fallback = {};  // the default as it would be written; empty: none
  bool required = false;
  std::span<const Option> children = {};  // none for a table or named: it depends on something else; checked there
  std::span<const std::string_view> choices = {};
  // Bounds as they would be written, of integer, percent, duration and size; empty: none.
  std::string_view least = {}, most = {};
};

// Where something stands in the file.
struct Where {
  std::string file;
  int line = 0, column = 0;  // from 1; 0 where it stands in no file
};
std::string to_string(const Where& where);  // "sluice.yaml:12:5"

struct Fault {
  Where where;
  std::string message;
  Fault(Where w, std::string m) : where(std::move(w)), message(std::move(m)) {}
};
// All that is wrong with a file, to be shown at once.
using Faults = std::vector<Fault>;
std::string to_string(const Fault& fault);  // "sluice.yaml:12:5: message"

// The environment, or the file, does not have what a reference names.
class Unresolved : public Error {
  using Error::Error;
};

// A reference to a text that stands elsewhere, or the text itself.
class TextRef {
 public:
  enum class From { literal, env, file, credential };
  TextRef() = default;
  TextRef(From from, std::string name) : from_(from), name_(std::move(name)) {}
  // Reads it now. Throws Unresolved, which names the reference, never the value.
  Secret resolve() const;
  bool literal() const { return from_ == From::literal; }
  // "env FACEBOOK_TOKEN"; never the text of a literal.
  std::string describe() const;
  // Something that does not stop it from resolving and still is worth a warning: a file that everybody may read.
  std::optional<std::string> doubt() const;
  bool operator==(const TextRef&) const = default;

 private:
  std::string path() const;  // of file and credential
  From from_ = From::literal;
  std::string name_;
};

struct Rate {
  double per_second = 0;
};
struct DurationRange {
  Duration least{}, most{};
};

// A mapping of the file that has been checked against its table: every key is known and of its declared type. Values
// are copied out by name; asking for a name that the table does not declare, or for another type, is a programming
// error (std::logic_error). An option that was not given has its fallback; one without fallback is absent: an error for
// a scalar, an empty one for lists and maps, and for a table the table of its options' fallbacks.
class Settings {
 public:
  Settings() = default;

  // It was given or has a fallback; for a table: it was given.
  bool has(std::string_view name) const;
  // It, or an item of it, is a reference: its text is known only when it is asked for.
  bool refers(std::string_view name) const;
  std::string text(std::string_view name) const;   // resolves references: throws Error(give_up)
  TextRef reference(std::string_view name) const;  // of a text or secret, unresolved
  Secret secret(std::string_view name) const;      // resolves: throws Error(give_up)
  std::int64_t integer(std::string_view name) const;
  bool flag(std::string_view name) const;
  Duration duration(std::string_view name) const;
  std::int64_t size(std::string_view name) const;  // bytes
  double fraction(std::string_view name) const;    // "75%" → 0.75
  Rate rate(std::string_view name) const;
  DurationRange range(std::string_view name) const;
  Day day(std::string_view name) const;
  Zone zone(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;
  std::vector<std::vector<std::string>> text_lists(std::string_view name) const;
  std::vector<std::pair<std::string, std::string>> text_map(std::string_view name) const;
  Settings table(std::string_view name) const;
  std::vector<Settings> tables(std::string_view name) const;
  std::vector<std::pair<std::string, Settings>> named(std::string_view name) const;

  // Of the option's value; of the mapping itself where it was not given.
  Where where(std::string_view name) const;
  Where where() const;
  // The names of the options that were written in the file (not defaults), in the file's order.
  std::vector<std::string> given() const;
  // Equal in every value, wherever it stands.
  bool same_as(const Settings& other) const;

  // The parsed form, made by parse_settings (daemon/yaml.hpp).
  struct Node;
  explicit Settings(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
  const Node* node() const { return node_.get(); }

 private:
  const Option& declared(std::string_view name, std::initializer_list<Value> expected) const;
  const Node* find(std::string_view name, std::initializer_list<Value> expected) const;
  const Node& get(std::string_view name, std::initializer_list<Value> expected) const;
  std::shared_ptr<const Node> node_;
};

// One value with its place in the file. Scalars keep their text; they were checked when they were parsed.
struct Settings::Node {
  Value value = Value::text;
  Where where;
  bool from_fallback = false;
  TextRef reference;                                                         // text, secret
  std::string text;                                                          // scalars, as written
  std::vector<std::shared_ptr<const Node>> items;                            // lists
  std::vector<std::pair<std::string, std::shared_ptr<const Node>>> members;  // mappings, in the file's order
  std::span<const Option> options;                                           // of a table: what it may hold
  std::shared_ptr<const std::vector<Option>> owned_options;  // what `options` views, where no static table does
};

// What a value of this kind looks like: "a duration like 30s or 5m".
std::string_view describe(Value kind);

// "10/s" "600/m" "5000/h" "100000/d"
std::optional<Rate> parse_rate(std::string_view text);
// "75%" → 0.75
std::optional<double> parse_percent(std::string_view text);
// "1s..5m"
std::optional<DurationRange> parse_range(std::string_view text);

// What is wrong with `text` as a scalar option's value ("expected a duration like 30s or 5m"); nothing when it is
// right.
std::optional<std::string> scalar_fault(const Option& option, std::string_view text);

// The known name that is nearest to a misspelt one; nothing where none is near.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> known);

}  // namespace sluice
