#include "core/row_fields.hpp"

#include <cstring>

#include "core/json_cell.hpp"
#include "core/json_text.hpp"

namespace sluice {
namespace {

constexpr std::size_t max_fields = 4096;

DataType join(DataType a, DataType b) {
  if (a == b) return a;
  const auto number = [](DataType t) { return t.type == Type::int64 || t.type == Type::decimal; };
  if (number(a) && number(b)) return Type::decimal;
  return a.type == Type::json || b.type == Type::json ? Type::json : Type::text;
}

std::optional<DataType> type_of(std::string_view token) {
  switch (token.front()) {
    case '"':
      return DataType(Type::text);
    case '{':
    case '[':
      return DataType(Type::json);
    case 't':
    case 'f':
      return DataType(Type::boolean);
    case 'n':
      return {};
    default:
      return DataType(token.find_first_of(".eE") == std::string_view::npos ? Type::int64 : Type::decimal);
  }
}

}  // namespace

std::size_t RowLevel::add(std::string_view name) {
  RowField field;
  field.name = name;
  field.path = path.empty() ? field.name : path + "/" + field.name;
  field.plain = name.find_first_of("\"\\") == std::string_view::npos;
  field.after = fields.size() + 1;
  places_.emplace(field.name, fields.size());
  fields.push_back(std::move(field));
  return fields.size() - 1;
}

std::pair<std::vector<RowLevel*>, RowField&> RowLevel::reach(std::string_view path) {
  std::vector<RowLevel*> levels;
  RowLevel* level = this;
  const auto field_of = [&](std::string_view name) -> RowField& {
    const auto found = level->places_.find(std::string(name));
    return level->fields[found == level->places_.end() ? level->add(name) : found->second];
  };
  for (auto slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    auto& field = field_of(path.substr(0, slash));
    if (!field.inner) {
      field.inner = std::make_unique<RowLevel>();
      field.inner->path = field.path;
    }
    level = field.inner.get();
    levels.push_back(level);
    path.remove_prefix(slash + 1);
  }
  return {std::move(levels), field_of(path)};
}

std::size_t RowLevel::match(const char* key, const char* end, std::size_t expected, std::int64_t& repaired) {
  if (expected < fields.size()) {
    const auto& field = fields[expected];
    const auto size = field.name.size();
    if (field.plain && size < static_cast<std::size_t>(end - key) && key[size] == '"' &&
        std::memcmp(key, field.name.data(), size) == 0)
      return expected;
  }
  const char* quote = key;
  while (*quote != '"') quote += *quote == '\\' ? 2 : 1;
  const std::string_view raw(key, static_cast<std::size_t>(quote - key));
  std::string name(raw);
  if (raw.find('\\') != std::string_view::npos) {
    const auto size = unescape_json(raw, name.data(), repaired);
    if (!size) not_json(simdjson::STRING_ERROR);
    name.resize(*size);
  }
  const auto found = places_.find(name);
  if (found != places_.end()) return found->second;
  return fields.size() < max_fields ? add(name) : fields.size();
}

void RowLevel::take_guesses(std::map<std::string, DataType>& guesses) {
  for (auto& field : fields) {
    if (field.guess && field.name.find('/') == std::string::npos) guesses[field.path] = *field.guess;
    field.guess.reset();
    if (field.inner) field.inner->take_guesses(guesses);
  }
}

void guess_type(RowField& field, std::string_view token) {
  if (const auto type = type_of(token)) field.guess = field.guess ? join(*field.guess, *type) : *type;
}

}  // namespace sluice
