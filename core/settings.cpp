#include "core/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "core/error.hpp"
#include "core/schema.hpp"

namespace sluice {
namespace {

using NodePtr = std::shared_ptr<const Settings::Node>;

std::optional<std::int64_t> parse_integer(std::string_view text) {
  const auto digits = text.substr(text.starts_with('-') || text.starts_with('+') ? 1 : 0);
  // A leading zero is octal to some readers of YAML and decimal to others.
  if (digits.size() > 1 && digits.front() == '0') return {};
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || digits.empty() || digits.front() == '-') return {};
  return value;
}

// A plain decimal number, not negative, nothing behind it.
std::optional<double> parse_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

bool known_zone(std::string_view text) {
  return !text.empty() && load_zone(text).has_value();
}

bool valid(Value kind, std::string_view text, std::span<const std::string_view> choices) {
  switch (kind) {
    case Value::integer:
      return parse_integer(text).has_value();
    case Value::boolean:
      return text == "true" || text == "false";
    case Value::duration:
      return parse_duration(text).has_value();
    case Value::size:
      return parse_size(text).has_value();
    case Value::percent:
      return parse_percent(text).has_value();
    case Value::rate:
      return parse_rate(text).has_value();
    case Value::range:
      return parse_range(text).has_value();
    case Value::day:
      return parse_day(text).has_value();
    case Value::zone:
      return known_zone(text);
    case Value::type:
      return parse_type(text).has_value();
    case Value::choice:
      return std::find(choices.begin(), choices.end(), text) != choices.end();
    default:
      return true;
  }
}

std::string join(std::span<const std::string_view> names) {
  std::string text;
  for (const auto name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Edits that turn one word into the other; two neighbours that changed places count as one (Damerau).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

// How much a text says that is valid for its kind; nothing of kinds that have no bounds.
std::optional<double> amount(Value kind, std::string_view text) {
  switch (kind) {
    case Value::integer:
      return static_cast<double>(parse_integer(text).value());
    case Value::percent:
      return parse_percent(text);
    case Value::duration:
      return static_cast<double>(parse_duration(text).value().count());
    case Value::size:
      return static_cast<double>(parse_size(text).value());
    default:
      return {};
  }
}

std::optional<std::string> bound_fault(const Option& option, std::string_view text) {
  const auto value = amount(option.value, text);
  const bool low = !option.least.empty() && value < amount(option.value, option.least);
  const bool high = !option.most.empty() && value > amount(option.value, option.most);
  if (!low && !high) return {};
  if (option.most.empty()) return fmt::format("expected at least {}", option.least);
  if (option.least.empty()) return fmt::format("expected at most {}", option.most);
  return fmt::format("expected {} to {}", option.least, option.most);
}

// Every zone of this machine, as cctz finds them: Europe/London.
std::vector<std::string> zone_names() {
  namespace fs = std::filesystem;
  const char* given = std::getenv("TZDIR");
  const fs::path root = given ? given : "/usr/share/zoneinfo";
  std::vector<std::string> names;
  std::error_code ignored;
  for (auto at = fs::recursive_directory_iterator(root, ignored); at != fs::recursive_directory_iterator();
       at.increment(ignored)) {
    const auto name = at->path().lexically_relative(root).string();
    // posix/ and right/ hold all of them once more; the other small letters are tables, not zones.
    if (name.front() < 'A' || name.front() > 'Z')
      at.disable_recursion_pending();
    else if (at->is_regular_file(ignored))
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A city without its continent too: "London" is Europe/London.
std::optional<std::string> nearest_zone(std::string_view name, const std::vector<std::string>& known) {
  for (const auto& zone : known)
    if (const auto slash = zone.rfind('/'); slash != std::string::npos && distance(zone.substr(slash + 1), name) == 0)
      return zone;
  return nearest_name(name, known);
}

const Settings::Node* member(const Settings::Node& node, std::string_view name) {
  for (const auto& [key, value] : node.members)
    if (key == name) return value.get();
  return nullptr;
}

bool same(const Settings::Node& a, const Settings::Node& b);

// Of a table the order of the keys says nothing; of names that the user chose it may.
bool same_members(const Settings::Node& a, const Settings::Node& b) {
  if (a.members.size() != b.members.size()) return false;
  for (std::size_t i = 0; i < a.members.size(); ++i) {
    const auto& [key, value] = a.members[i];
    if (a.value != Value::table && b.members[i].first != key) return false;
    const auto* other = a.value == Value::table ? member(b, key) : b.members[i].second.get();
    if (other == nullptr || !same(*value, *other)) return false;
  }
  return true;
}

bool same(const Settings::Node& a, const Settings::Node& b) {
  if (a.value != b.value || !(a.reference == b.reference)) return false;
  const bool same_text = a.text == b.text ||
                         (a.value == Value::duration && parse_duration(a.text) == parse_duration(b.text)) ||
                         (a.value == Value::size && parse_size(a.text) == parse_size(b.text));
  return same_text && same_members(a, b) &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(),
                    [](const NodePtr& x, const NodePtr& y) { return same(*x, *y); });
}

std::string text_of(const Settings::Node& node) {
  return node.reference.literal() ? node.text : node.reference.resolve().reveal();
}

std::vector<std::string> texts_of(const Settings::Node& list) {
  std::vector<std::string> out;
  for (const auto& item : list.items) out.push_back(text_of(*item));
  return out;
}

[[noreturn]] void misuse(std::string_view name, std::string_view why) {
  throw std::logic_error(fmt::format("option \"{}\" {}", name, why));
}

}  // namespace

std::string to_string(const Where& where) {
  if (where.line == 0) return where.file;
  return fmt::format("{}:{}:{}", where.file, where.line, where.column);
}

std::string to_string(const Fault& fault) {
  const auto place = to_string(fault.where);
  return place.empty() ? fault.message : place + ": " + fault.message;
}

std::optional<Rate> parse_rate(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const auto number = parse_number(text.substr(0, slash));
  const auto unit = text.substr(slash + 1);
  const double seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86400 : 0;
  if (!number || *number <= 0 || seconds == 0) return {};
  return Rate{*number / seconds};
}

std::optional<double> parse_percent(std::string_view text) {
  if (!text.ends_with('%')) return {};
  const auto number = parse_number(text.substr(0, text.size() - 1));
  if (!number || *number > 100) return {};
  return *number / 100;
}

std::optional<DurationRange> parse_range(std::string_view text) {
  const auto dots = text.find("..");
  if (dots == std::string_view::npos) return {};
  const auto least = parse_duration(text.substr(0, dots));
  const auto most = parse_duration(text.substr(dots + 2));
  if (!least || !most || *least > *most) return {};
  return DurationRange{*least, *most};
}

std::string_view describe(Value kind) {
  switch (kind) {
    case Value::text:
      return "a text";
    case Value::secret:
      return "a reference like {env: NAME}, {file: PATH} or {credential: NAME}";
    case Value::integer:
      return "a whole number";
    case Value::boolean:
      return "true or false";
    case Value::duration:
      return "a duration with its unit, like 30s, 5m, 2h or 28d";
    case Value::size:
      return "a size with its unit, like 64KiB or 32MiB";
    case Value::percent:
      return "a percentage like 75%";
    case Value::rate:
      return "a rate like 10/s, 600/m or 5000/h";
    case Value::range:
      return "a range of durations like 1s..5m";
    case Value::day:
      return "a day like 2025-01-31";
    case Value::zone:
      return "the IANA name of a time zone, like Europe/London";
    case Value::type:
      return "a type: boolean, int64, float64, decimal, decimal(18,4), text, json, date, time, timestamp, bytes or "
             "uuid";
    case Value::choice:
      return "one of the words that it knows";
    case Value::text_list:
      return "a list of texts like [a, b]";
    case Value::text_lists:
      return "a list of lists like [[a, b], [c]]";
    case Value::text_map:
      return "a mapping of names to texts like {a: b}";
    case Value::table:
      return "a mapping";
    case Value::tables:
      return "a list of mappings";
    case Value::named:
      return "a mapping of names to mappings";
  }
  return "something else";
}

std::optional<std::string> scalar_fault(const Option& option, std::string_view text) {
  if (valid(option.value, text, option.choices)) return bound_fault(option, text);
  auto message = fmt::format("expected {}", describe(option.value));
  std::optional<std::string> near;
  if (option.value == Value::choice) {
    message = "expected one of: " + join(option.choices);
    near = nearest_name(text, std::vector<std::string>(option.choices.begin(), option.choices.end()));
  } else if (option.value == Value::zone) {
    const auto known = zone_names();
    if (known.empty()) return message + "; this machine has no zones: install tzdata";
    near = nearest_zone(text, known);
  }
  return near ? message + fmt::format("; did you mean \"{}\"?", *near) : message;
}

std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> known) {
  std::optional<std::string> best;
  // A third of the letters wrong is still a slip; more is another word.
  std::size_t least = std::max<std::size_t>(1, std::min<std::size_t>(name.size(), 64) / 3) + 1;
  if (name.size() > 64) return best;
  for (const auto& candidate : known) {
    if (const auto d = distance(name, candidate); d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

const Option& Settings::declared(std::string_view name, std::initializer_list<Value> expected) const {
  if (node_ == nullptr) misuse(name, "was asked of settings that are empty");
  for (const auto& option : node_->options) {
    if (option.name != name) continue;
    if (std::find(expected.begin(), expected.end(), option.value) == expected.end())
      misuse(name, "was asked for as another type than it is declared");
    return option;
  }
  misuse(name, "is not declared");
}

const Settings::Node* Settings::find(std::string_view name, std::initializer_list<Value> expected) const {
  declared(name, expected);
  return member(*node_, name);
}

const Settings::Node& Settings::get(std::string_view name, std::initializer_list<Value> expected) const {
  const auto* node = find(name, expected);
  if (node == nullptr) misuse(name, "was not given and has no fallback");
  return *node;
}

bool Settings::has(std::string_view name) const {
  if (node_ == nullptr) return false;
  const auto* node = member(*node_, name);
  return node != nullptr && !(node->value == Value::table && node->from_fallback);
}

bool Settings::refers(std::string_view name) const {
  const auto* node = node_ == nullptr ? nullptr : member(*node_, name);
  if (node == nullptr) return false;
  const auto reference = [](const auto& item) { return !item->reference.literal(); };
  return !node->reference.literal() || std::any_of(node->items.begin(), node->items.end(), reference);
}

std::string Settings::text(std::string_view name) const {
  return text_of(get(name, {Value::text, Value::choice, Value::type, Value::zone}));
}

TextRef Settings::reference(std::string_view name) const {
  return get(name, {Value::text, Value::secret}).reference;
}

Secret Settings::secret(std::string_view name) const {
  return reference(name).resolve();
}

std::int64_t Settings::integer(std::string_view name) const {
  return parse_integer(get(name, {Value::integer}).text).value();
}

bool Settings::flag(std::string_view name) const {
  return get(name, {Value::boolean}).text == "true";
}

Duration Settings::duration(std::string_view name) const {
  return parse_duration(get(name, {Value::duration}).text).value();
}

std::int64_t Settings::size(std::string_view name) const {
  return parse_size(get(name, {Value::size}).text).value();
}

double Settings::fraction(std::string_view name) const {
  return parse_percent(get(name, {Value::percent}).text).value();
}

Rate Settings::rate(std::string_view name) const {
  return parse_rate(get(name, {Value::rate}).text).value();
}

DurationRange Settings::range(std::string_view name) const {
  return parse_range(get(name, {Value::range}).text).value();
}

Day Settings::day(std::string_view name) const {
  return parse_day(get(name, {Value::day}).text).value();
}

Zone Settings::zone(std::string_view name) const {
  return load_zone(get(name, {Value::zone}).text).value();
}

std::vector<std::string> Settings::texts(std::string_view name) const {
  const auto* list = find(name, {Value::text_list});
  return list == nullptr ? std::vector<std::string>() : texts_of(*list);
}

std::vector<std::vector<std::string>> Settings::text_lists(std::string_view name) const {
  std::vector<std::vector<std::string>> out;
  if (const auto* list = find(name, {Value::text_lists}))
    for (const auto& item : list->items) out.push_back(texts_of(*item));
  return out;
}

std::vector<std::pair<std::string, std::string>> Settings::text_map(std::string_view name) const {
  std::vector<std::pair<std::string, std::string>> out;
  if (const auto* map = find(name, {Value::text_map}))
    for (const auto& [key, value] : map->members) out.emplace_back(key, text_of(*value));
  return out;
}

Settings Settings::table(std::string_view name) const {
  find(name, {Value::table});
  for (const auto& [key, value] : node_->members)
    if (key == name) return Settings(value);
  misuse(name, "is a table without options");
}

std::vector<Settings> Settings::tables(std::string_view name) const {
  std::vector<Settings> out;
  if (const auto* list = find(name, {Value::tables}))
    for (const auto& item : list->items) out.emplace_back(item);
  return out;
}

std::vector<std::pair<std::string, Settings>> Settings::named(std::string_view name) const {
  std::vector<std::pair<std::string, Settings>> out;
  if (const auto* map = find(name, {Value::named}))
    for (const auto& [key, value] : map->members) out.emplace_back(key, Settings(value));
  return out;
}

Where Settings::where(std::string_view name) const {
  if (node_ == nullptr) return {};
  const auto* node = member(*node_, name);
  return node == nullptr || node->from_fallback ? node_->where : node->where;
}

Where Settings::where() const {
  return node_ == nullptr ? Where() : node_->where;
}

std::vector<std::string> Settings::given() const {
  std::vector<std::string> out;
  if (node_ != nullptr)
    for (const auto& [key, value] : node_->members)
      if (!value->from_fallback) out.push_back(key);
  return out;
}

bool Settings::same_as(const Settings& other) const {
  if (node_ == nullptr || other.node_ == nullptr) return node_ == other.node_;
  return same(*node_, *other.node_);
}

}  // namespace sluice
