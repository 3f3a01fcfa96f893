#include "core/row_mapper.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <unordered_map>

#include "core/cell_text.hpp"
#include "core/decimal.hpp"
#include "core/error.hpp"
#include "core/json_text.hpp"

namespace sluice {
namespace {

namespace json = simdjson::ondemand;

constexpr int max_depth = 100;
constexpr std::size_t max_learned_fields = 4096;

struct Level;

// A member that rows may have: a column, an object with columns inside, or a new field.
struct Field {
  std::string name;
  std::string path;   // from the row's top: "creative/id"
  bool plain = true;  // the name stands in JSON as it is
  int column = -1;
  bool ignored = false;  // sent unasked
  std::unique_ptr<Level> inner;
  std::size_t after = 0;          // the field that last followed this one
  std::optional<DataType> guess;  // of a new field, in this page
};

// The members of one object, in the order in which they were seen last: a row like the one before it is matched by
// one comparison per member.
struct Level {
  std::vector<Field> fields;
  std::unordered_map<std::string, std::size_t> places;
  std::vector<int> columns;  // all below
  std::string path;
  std::size_t first = 0;

  std::size_t add(std::string_view name) {
    Field field;
    field.name = name;
    field.path = path.empty() ? field.name : path + "/" + field.name;
    field.plain = name.find_first_of("\"\\") == std::string_view::npos;
    field.after = fields.size() + 1;
    places.emplace(field.name, fields.size());
    fields.push_back(std::move(field));
    return fields.size() - 1;
  }
  std::size_t place(std::string_view name) {
    const auto found = places.find(std::string(name));
    return found == places.end() ? add(name) : found->second;
  }
};

std::string_view trimmed(std::string_view token) {
  while (!token.empty() &&
         (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' || token.back() == '\t'))
    token.remove_suffix(1);
  return token;
}

// What of a value a message may show.
std::string shown(std::string_view token) {
  constexpr std::size_t most = 60;
  if (token.size() <= most) return std::string(token);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(token[end]) & 0xC0) == 0x80) --end;
  return std::string(token.substr(0, end)) + "…";
}

DataType join(DataType a, DataType b) {
  if (a == b) return a;
  const auto number = [](DataType t) { return t.type == Type::int64 || t.type == Type::decimal; };
  if (number(a) && number(b)) return Type::decimal;
  return a.type == Type::json || b.type == Type::json ? Type::json : Type::text;
}

std::optional<DataType> guess_type(std::string_view token) {
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

[[noreturn]] void not_json(simdjson::error_code error) {
  throw Error(Remedy::retry, fmt::format("the answer is not valid JSON ({}); it will be asked for again",
                                         simdjson::error_message(error)));
}

void require(simdjson::error_code error) {
  if (error) not_json(error);
}

}  // namespace

class RowMapper::Impl {
 public:
  Impl(const std::vector<Column>& columns, const std::vector<std::string>& key, NewFields new_fields);
  void ignore(std::string_view path) { reach(path).second.ignored = true; }
  MappedPage map(std::string page, std::string_view rows, bool saved);

 private:
  // The field that a path leads to, and the levels that it leads through.
  std::pair<std::vector<Level*>, Field&> reach(std::string_view path);

  struct Bad {
    int column;  // -1: the row as a whole
    std::string rule, reason;
  };

  json::document open(std::string& page);
  void map_array(json::array rows);
  void map_row(json::value value);
  void map_object(json::object object, Level& level, int depth);
  std::size_t match(Level& level, json::raw_json_string key, std::size_t expected);
  void map_member(Field& field, json::value value, int depth);
  void map_cell(std::size_t column, json::value value);
  void map_string(std::size_t column, std::string_view token);
  void map_nested(std::size_t column, json::value value);
  void put_text(std::size_t column, std::string_view text, std::string_view token);
  void note_new_field(Field& field, json::value value);
  void finish_row(std::string_view raw);
  void reject_row(std::string_view raw);

  // The extent of a nested value, which is checked on the way; nothing when a number or word in it is not JSON.
  std::optional<std::string_view> nested_text(json::value value);
  bool well_formed(json::value value, int depth);
  Cell in_page(std::string_view text) const;
  void fail(int column, std::string rule, std::string reason) {
    bad_.push_back({column, std::move(rule), std::move(reason)});
  }
  void misfit(std::size_t column, std::string_view token);
  void forget(int column);

  std::vector<Column> columns_;
  std::vector<std::pair<std::size_t, Type>> key_;
  std::vector<bool> in_key_;
  NewFields new_fields_;
  int extra_ = -1;
  Level root_;
  simdjson::ondemand::parser parser_;

  // Of the page and the row at hand.
  const char* page_ = nullptr;
  const char* page_end_ = nullptr;
  json::document* document_ = nullptr;
  Batch* batch_ = nullptr;
  std::span<Cell> row_;
  std::vector<Bad> bad_;
  std::string extra_text_;
};

RowMapper::Impl::Impl(const std::vector<Column>& columns, const std::vector<std::string>& key, NewFields new_fields)
    : columns_(columns), in_key_(columns.size()), new_fields_(new_fields) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == extra_column && new_fields == NewFields::keep_in_extra) {
      extra_ = static_cast<int>(i);
      continue;
    }
    auto [levels, field] = reach(columns[i].path);
    for (auto* level : levels) level->columns.push_back(static_cast<int>(i));
    if (field.column >= 0 || field.inner) throw std::logic_error("two columns are read from " + columns[i].path);
    field.column = static_cast<int>(i);
  }
  for (const auto& name : key)
    for (std::size_t i = 0; i < columns.size(); ++i)
      if (columns[i].name == name) {
        key_.emplace_back(i, columns[i].type.type);
        in_key_[i] = true;
      }
}

std::pair<std::vector<Level*>, Field&> RowMapper::Impl::reach(std::string_view path) {
  std::vector<Level*> levels;
  Level* level = &root_;
  for (auto slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    auto& field = level->fields[level->place(path.substr(0, slash))];
    if (!field.inner) {
      field.inner = std::make_unique<Level>();
      field.inner->path = field.path;
    }
    level = field.inner.get();
    levels.push_back(level);
    path.remove_prefix(slash + 1);
  }
  return {std::move(levels), level->fields[level->place(path)]};
}

json::document RowMapper::Impl::open(std::string& page) {
  page.reserve(page.size() + simdjson::SIMDJSON_PADDING);
  json::document document;
  auto error = parser_.iterate(page).get(document);
  if (error == simdjson::UTF8_ERROR) {
    page = repair_utf8(page, batch_->repaired_texts);
    page.reserve(page.size() + simdjson::SIMDJSON_PADDING);
    error = parser_.iterate(page).get(document);
  }
  require(error);
  return document;
}

MappedPage RowMapper::Impl::map(std::string page, std::string_view rows, bool saved) {
  if (page.starts_with("\xEF\xBB\xBF")) page.erase(0, 3);
  MappedPage mapped{Batch(columns_.size()), {}};
  batch_ = &mapped.batch;
  auto document = open(page);
  document_ = &document;
  // Cells point into one copy of the whole page; only texts with escapes in them are written apart.
  batch_->reserve(page.size() / 256, page.size() + page.size() / 16);
  batch_->add_text(page);
  page_ = page.data();
  page_end_ = page.data() + page.size();

  json::json_type kind;
  require(document.type().get(kind));
  if (kind == json::json_type::array && (rows.empty() || saved)) {
    json::array array;
    require(document.get_array().get(array));
    map_array(array);
    mapped.envelope = "[]";
  } else if (kind == json::json_type::object && !rows.empty()) {
    json::object object;
    require(document.get_object().get(object));
    bool found = false;
    for (auto member : object) {
      json::field field;
      require(std::move(member).get(field));
      std::string_view name;
      require(field.unescaped_key().get(name));
      json::json_type type;
      require(field.value().type().get(type));
      if (name != rows || type != json::json_type::array || found) {
        if (!well_formed(field.value(), 0)) not_json(simdjson::TAPE_ERROR);
        continue;
      }
      found = true;
      const auto begin = static_cast<std::size_t>(field.value().raw_json_token().data() - page_);
      json::array array;
      require(field.value().get_array().get(array));
      map_array(array);
      const char* end = nullptr;
      require(document.current_location().get(end));
      mapped.envelope.assign(page, 0, begin).append("[]").append(end, static_cast<std::size_t>(page_end_ - end));
    }
    if (!found && saved) {
      document.rewind();
      json::value row;
      require(document.get_value().get(row));
      map_row(row);
    } else if (!found) {
      mapped.envelope = page;
    }
  } else {
    throw Error(Remedy::retry, fmt::format("the answer is JSON but holds no rows: {}", shown(page)));
  }
  const char* rest = nullptr;
  if (!document.current_location().get(rest)) not_json(simdjson::TAPE_ERROR);

  const auto collect = [&](const auto& self, Level& level) -> void {
    for (auto& field : level.fields) {
      if (field.guess) batch_->unknown_fields[field.path] = *field.guess;
      field.guess.reset();
      if (field.inner) self(self, *field.inner);
    }
  };
  if (new_fields_ == NewFields::add || new_fields_ == NewFields::keep_in_extra) collect(collect, root_);
  return mapped;
}

void RowMapper::Impl::map_array(json::array rows) {
  for (auto item : rows) {
    json::value value;
    require(item.get(value));
    map_row(value);
  }
}

void RowMapper::Impl::map_row(json::value value) {
  const auto token = value.raw_json_token();
  row_ = batch_->add_row();
  std::fill(row_.begin(), row_.end(), Cell::absent());
  bad_.clear();
  extra_text_.clear();
  if (token.front() != '{') {
    fail(-1, "json", fmt::format("found {}, expected an object", shown(trimmed(token))));
    const auto text = token.front() == '[' ? nested_text(value) : std::optional(trimmed(token));
    reject_row(text.value_or("null"));
    return;
  }
  json::object object;
  require(value.get_object().get(object));
  map_object(object, root_, 0);
  const char* end = nullptr;
  if (document_->current_location().get(end)) end = page_end_;
  std::string_view raw(token.data(), static_cast<std::size_t>(end - token.data()));
  raw = raw.substr(0, raw.rfind('}') + 1);
  finish_row(raw);
}

void RowMapper::Impl::map_object(json::object object, Level& level, int depth) {
  auto expected = level.first;
  std::optional<std::size_t> previous;
  for (auto member : object) {
    json::field field;
    require(std::move(member).get(field));
    const auto key = field.key();
    const auto place = match(level, key, expected);
    if (place == level.fields.size()) continue;
    (previous ? level.fields[*previous].after : level.first) = place;
    previous = place;
    auto& known = level.fields[place];
    expected = known.after;
    if (known.column >= 0 && known.column != extra_)
      map_cell(static_cast<std::size_t>(known.column), field.value());
    else if (known.inner || (new_fields_ != NewFields::ignore && !known.ignored))
      map_member(known, field.value(), depth);
  }
}

// The field's place; the number of fields when there are too many to be remembered.
std::size_t RowMapper::Impl::match(Level& level, json::raw_json_string key, std::size_t expected) {
  const char* text = key.raw();
  if (expected < level.fields.size()) {
    const auto& field = level.fields[expected];
    const auto size = field.name.size();
    if (field.plain && size < static_cast<std::size_t>(page_end_ - text) && text[size] == '"' &&
        std::memcmp(text, field.name.data(), size) == 0)
      return expected;
  }
  const char* end = text;
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  const std::string_view raw(text, static_cast<std::size_t>(end - text));
  std::string name(raw);
  if (raw.find('\\') != std::string_view::npos) {
    const auto size = unescape_json(raw, name.data(), batch_->repaired_texts);
    if (!size) not_json(simdjson::STRING_ERROR);
    name.resize(*size);
  }
  const auto found = level.places.find(name);
  if (found != level.places.end()) return found->second;
  if (level.fields.size() >= max_learned_fields) return level.fields.size();
  return level.add(name);
}

void RowMapper::Impl::map_member(Field& field, json::value value, int depth) {
  if (!field.inner) return note_new_field(field, value);
  auto& level = *field.inner;
  for (const auto column : level.columns) {
    row_[static_cast<std::size_t>(column)] = Cell::absent();
    forget(column);
  }
  const auto token = trimmed(value.raw_json_token());
  if (token.front() == '{') {
    json::object object;
    require(value.get_object().get(object));
    map_object(object, level, depth + 1);
  } else if (token == "null") {
    for (const auto column : level.columns) row_[static_cast<std::size_t>(column)] = Cell();
  } else {
    fail(level.columns.front(), "type", fmt::format("\"{}\": found {}, expected an object", field.path, shown(token)));
  }
}

void RowMapper::Impl::note_new_field(Field& field, json::value value) {
  const auto token = trimmed(value.raw_json_token());
  if (new_fields_ == NewFields::fail)
    throw Error(
        Remedy::give_up,
        fmt::format("the source sends a new field \"{}\" ({}) and new_fields is \"fail\": add it to the stream's "
                    "fields, or set schema.new_fields to add, keep_in_extra or ignore",
                    field.path, shown(token)));
  if (const auto type = guess_type(token)) field.guess = field.guess ? join(*field.guess, *type) : *type;
  if (extra_ < 0) return;
  auto text = token.front() == '{' || token.front() == '[' ? nested_text(value) : std::optional(token);
  const bool scalar = token.front() != '{' && token.front() != '[';
  if (text && scalar && !well_formed(value, 0)) text.reset();
  if (!text) return fail(-1, "json", fmt::format("\"{}\": found {}, expected JSON", field.path, shown(token)));
  auto repaired = text->find('\\') == std::string_view::npos ? std::optional(std::string(*text))
                                                             : repair_json_escapes(*text, batch_->repaired_texts);
  if (!repaired) return fail(-1, "json", fmt::format("\"{}\": a bad escape in {}", field.path, shown(*text)));
  extra_text_ += extra_text_.empty() ? "{" : ",";
  append_json_string(extra_text_, field.path);
  extra_text_.append(":").append(*repaired);
}

Cell RowMapper::Impl::in_page(std::string_view text) const {
  Cell cell;
  cell.kind = Kind::text;
  cell.size = static_cast<std::uint32_t>(text.size());
  cell.offset = static_cast<std::uint64_t>(text.data() - page_);
  return cell;
}

void RowMapper::Impl::misfit(std::size_t column, std::string_view token) {
  fail(static_cast<int>(column), "type",
       fmt::format("column \"{}\": found {}, expected {}", columns_[column].name, shown(token),
                   to_string(columns_[column].type)));
}

void RowMapper::Impl::forget(int column) {
  if (bad_.empty()) return;
  std::erase_if(bad_, [column](const Bad& b) { return b.column == column; });
}

void RowMapper::Impl::map_cell(std::size_t column, json::value value) {
  const auto token = trimmed(value.raw_json_token());
  forget(static_cast<int>(column));
  const auto type = columns_[column].type.type;
  switch (token.front()) {
    case '"':
      if (type != Type::json) return map_string(column, token);
      [[fallthrough]];
    case '{':
    case '[':
      return map_nested(column, value);
    case 'n':
      row_[column] = Cell();
      if (token != "null") misfit(column, token);
      return;
    case 't':
    case 'f':
      if (token != "true" && token != "false") return misfit(column, token);
      break;
    default:
      if (!is_json_number(token)) return misfit(column, token);
      break;
  }
  if (type == Type::json)
    row_[column] = in_page(token);
  else
    put_text(column, token, token);
}

void RowMapper::Impl::map_string(std::size_t column, std::string_view token) {
  if (token.size() < 2 || token.back() != '"') return misfit(column, token);
  const auto inner = token.substr(1, token.size() - 2);
  if (std::memchr(inner.data(), '\\', inner.size()) == nullptr) return put_text(column, inner, token);
  char* out = batch_->grow_text(inner.size());
  const auto size = unescape_json(inner, out, batch_->repaired_texts);
  const auto cell = batch_->commit_text(size.value_or(0));
  if (!size) return misfit(column, token);
  if (columns_[column].type.type == Type::text) {
    row_[column] = cell;
    return;
  }
  const std::string text(batch_->text(cell));
  put_text(column, text, token);
}

void RowMapper::Impl::put_text(std::size_t column, std::string_view text, std::string_view token) {
  const auto type = columns_[column].type;
  const auto keep = [&](std::string_view kept) {
    row_[column] = kept.data() >= page_ && kept.data() < page_end_ ? in_page(kept) : batch_->add_text(kept);
  };
  switch (type.type) {
    case Type::text:
    case Type::bytes:
      return keep(text);
    case Type::decimal:
      if (type.precision == 0 && is_canonical_decimal(text)) return keep(text);
      break;
    default:
      break;
  }
  CellText parsed;
  if (!parse_cell_text(text, type, parsed)) return misfit(column, token);
  row_[column] = parsed.text ? batch_->add_text(*parsed.text) : parsed.cell;
}

void RowMapper::Impl::map_nested(std::size_t column, json::value value) {
  const auto token = value.raw_json_token();
  if (columns_[column].type.type != Type::json) return misfit(column, trimmed(token));
  const auto text = token.front() == '"' ? std::optional(trimmed(token)) : nested_text(value);
  if (!text) return misfit(column, trimmed(token));
  if (std::memchr(text->data(), '\\', text->size()) == nullptr) {
    row_[column] = in_page(*text);
    return;
  }
  auto repaired = std::int64_t{0};
  const auto harmless = repair_json_escapes(*text, repaired);
  if (!harmless) return misfit(column, *text);
  batch_->repaired_texts += repaired;
  row_[column] = repaired == 0 ? in_page(*text) : batch_->add_text(*harmless);
}

std::optional<std::string_view> RowMapper::Impl::nested_text(json::value value) {
  const char* begin = value.raw_json_token().data();
  if (!well_formed(value, 0)) return {};
  const char* end = nullptr;
  if (document_->current_location().get(end)) end = page_end_;
  std::string_view text(begin, static_cast<std::size_t>(end - begin));
  const auto last = text.find_last_of(text.front() == '{' ? '}' : ']');
  return text.substr(0, last + 1);
}

// simdjson's on-demand walk checks structure; strings were checked when the page was opened, all but their escapes.
bool RowMapper::Impl::well_formed(json::value value, int depth) {
  const auto token = value.raw_json_token();
  bool good = true;
  switch (token.front()) {
    case '{': {
      if (depth >= max_depth) return false;
      json::object object;
      require(value.get_object().get(object));
      for (auto member : object) {
        json::field field;
        require(std::move(member).get(field));
        good = good && well_formed(field.value(), depth + 1);
      }
      return good;
    }
    case '[': {
      if (depth >= max_depth) return false;
      json::array array;
      require(value.get_array().get(array));
      for (auto item : array) {
        json::value inner;
        require(item.get(inner));
        good = good && well_formed(inner, depth + 1);
      }
      return good;
    }
    case '"':
      return true;
    case 't':
      return trimmed(token) == "true";
    case 'f':
      return trimmed(token) == "false";
    case 'n':
      return trimmed(token) == "null";
    default:
      return is_json_number(trimmed(token));
  }
}

void RowMapper::Impl::finish_row(std::string_view raw) {
  batch_->set_raw(in_page(raw));
  if (extra_ >= 0) {
    const auto column = static_cast<std::size_t>(extra_);
    row_[column] = extra_text_.empty() ? Cell() : batch_->add_text(extra_text_ + "}");
  }
  for (std::size_t i = 0; i < row_.size(); ++i) {
    if (!row_[i].is_null() || (!in_key_[i] && !columns_[i].required)) continue;
    const bool noted =
        std::any_of(bad_.begin(), bad_.end(), [&](const Bad& b) { return b.column == static_cast<int>(i); });
    if (noted) continue;
    if (columns_[i].required || columns_[i].type.type != Type::text)
      fail(static_cast<int>(i), "required",
           fmt::format("column \"{}\": found {}, expected {}", columns_[i].name,
                       row_[i].kind == Kind::null ? "null" : "nothing", to_string(columns_[i].type)));
    else
      row_[i] = batch_->add_text("");
  }
  if (!bad_.empty()) reject_row(raw);
}

void RowMapper::Impl::reject_row(std::string_view raw) {
  Reject reject;
  const bool key_read = !key_.empty() && std::none_of(bad_.begin(), bad_.end(), [&](const Bad& b) {
    return b.column < 0 ? raw.empty() || raw.front() != '{' : in_key_[static_cast<std::size_t>(b.column)];
  });
  if (key_read) reject.key = key_text(*batch_, batch_->rows() - 1, key_);
  reject.rule = bad_.front().rule;
  reject.reason = bad_.front().reason;
  reject.raw = raw;
  batch_->drop_last_row();
  batch_->rejects.push_back(std::move(reject));
}

RowMapper::RowMapper(const std::vector<Column>& columns, const std::vector<std::string>& key, NewFields new_fields)
    : impl_(std::make_unique<Impl>(columns, key, new_fields)) {}
RowMapper::RowMapper(RowMapper&&) noexcept = default;
RowMapper& RowMapper::operator=(RowMapper&&) noexcept = default;
RowMapper::~RowMapper() = default;

void RowMapper::ignore(std::string_view path) {
  impl_->ignore(path);
}

MappedPage RowMapper::map(std::string page, std::string_view rows) {
  return impl_->map(std::move(page), rows, false);
}
Batch RowMapper::map_saved(std::string reply, std::string_view rows) {
  return std::move(impl_->map(std::move(reply), rows, true).batch);
}

}  // namespace sluice
