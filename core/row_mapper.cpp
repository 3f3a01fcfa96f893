#include "core/row_mapper.hpp"

#include <fmt/format.h>

#include "core/clean_text.hpp"
#include "core/error.hpp"
#include "core/json_cell.hpp"
#include "core/json_text.hpp"
#include "core/row_fields.hpp"
#include "core/row_guard.hpp"

namespace sluice {

namespace json = simdjson::ondemand;

namespace {

// One for all mappers of a thread, since it keeps several times a page's size: `map` neither waits nor calls another
// mapper, so that no document of it is in use when the next page comes.
thread_local json::parser parser_of_usual_pages;
constexpr std::size_t usual_page = 4u << 20;

}  // namespace

class RowMapper::Impl {
 public:
  Impl(const std::vector<Column>& columns, const std::vector<std::string>& key, NewFields new_fields,
       std::shared_ptr<const RowGuard> guard);
  void ignore(std::string_view path) { root_.reach(path).second.ignored = true; }
  MappedPage map(std::string page, std::string_view rows, bool saved);

 private:
  struct Bad {
    int column;  // -1: the row as a whole
    std::string rule, reason;
  };

  json::document open(std::string& page, json::parser& parser);
  // Maps the rows; gives the page without them.
  std::string map_page(json::object page, std::string_view rows, bool saved);
  void map_array(json::array rows);
  void map_row(json::value value);
  void read_from(std::size_t column, std::string_view path);
  // `kept`: the object is in a column as a whole.
  void map_object(json::object object, RowLevel& level, bool kept);
  void map_cell(std::size_t column, json::value value);
  void map_inner(RowField& field, json::value value, bool kept);
  void keep_whole(std::size_t column, std::string_view object);
  std::string_view from_here_back_to(const char* begin);
  void note_new_field(RowField& field, json::value value);
  void finish_row(std::string_view raw);
  void reject_row(std::string_view raw);
  void fail(int column, std::string rule, std::string reason) {
    bad_.push_back({column, std::move(rule), std::move(reason)});
  }
  void forget(int column);

  std::vector<Column> columns_;
  std::vector<std::pair<std::size_t, Type>> key_;
  std::vector<bool> in_key_;
  NewFields new_fields_;
  std::shared_ptr<const RowGuard> guard_;
  int extra_ = -1;
  RowLevel root_;

  // Of the page and the row at hand.
  std::string_view page_;
  json::document* document_ = nullptr;
  Batch* batch_ = nullptr;
  std::optional<JsonCells> cells_;
  std::span<Cell> row_;
  std::vector<Bad> bad_;
  std::string extra_text_;
};

RowMapper::Impl::Impl(const std::vector<Column>& columns, const std::vector<std::string>& key, NewFields new_fields,
                      std::shared_ptr<const RowGuard> guard)
    : columns_(columns), in_key_(columns.size()), new_fields_(new_fields), guard_(std::move(guard)) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == extra_column && new_fields == NewFields::keep_in_extra) {
      extra_ = static_cast<int>(i);
      continue;
    }
    if (columns[i].path.empty()) continue;
    read_from(i, columns[i].path);
    for (const auto& alias : columns[i].aliases) read_from(i, alias);
  }
  bool whole = true;
  for (const auto& name : key)
    for (std::size_t i = 0; i < columns.size(); ++i)
      if (columns[i].name == name) {
        key_.emplace_back(i, columns[i].type.type);
        in_key_[i] = !columns[i].path.empty();
        whole = whole && in_key_[i];
      }
  if (!whole) key_.clear();  // a part of it is not in the rows: rejects have none that could be read
}

void RowMapper::Impl::read_from(std::size_t column, std::string_view path) {
  auto [levels, field] = root_.reach(path);
  for (auto* level : levels) level->columns.push_back(static_cast<int>(column));
  if (field.column >= 0) throw std::logic_error("two columns are read from " + field.path);
  field.column = static_cast<int>(column);
}

json::document RowMapper::Impl::open(std::string& page, json::parser& parser) {
  page.reserve(page.size() + simdjson::SIMDJSON_PADDING);
  json::document document;
  auto error = parser.iterate(page).get(document);
  if (error == simdjson::UTF8_ERROR) {
    page = clean_text(page, batch_->repaired);
    page.reserve(page.size() + simdjson::SIMDJSON_PADDING);
    error = parser.iterate(page).get(document);
  }
  require(error);
  return document;
}

MappedPage RowMapper::Impl::map(std::string page, std::string_view rows, bool saved) {
  if (page.starts_with("\xEF\xBB\xBF")) page.erase(0, 3);
  MappedPage mapped{Batch(columns_.size()), {}};
  batch_ = &mapped.batch;
  if (guard_) page = guard_->page(std::move(page), rows, saved, batch_->repaired);
  json::parser own;
  auto document = open(page, page.size() > usual_page ? own : parser_of_usual_pages);
  document_ = &document;
  // Cells are parts of the page, which the document goes on reading; only texts with escapes in them are written apart.
  batch_->reserve(page.size() / 256, page.size() / 16);
  page_ = batch_->adopt(std::move(page));
  cells_.emplace(page_, *batch_);

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
    mapped.envelope = map_page(object, rows, saved);
  } else {
    // Not a word of it: it may hold what people typed.
    throw Error(Remedy::retry, fmt::format("the answer is JSON but holds no rows: it is a {}",
                                           kind == json::json_type::array    ? "list"
                                           : kind == json::json_type::object ? "mapping"
                                                                             : "single value"));
  }
  const char* rest = nullptr;
  if (!document.current_location().get(rest)) not_json(simdjson::TAPE_ERROR);
  root_.take_guesses(batch_->unknown_fields);
  return mapped;
}

std::string RowMapper::Impl::map_page(json::object page, std::string_view rows, bool saved) {
  std::optional<std::string> envelope;
  for (auto member : page) {
    json::field field;
    require(std::move(member).get(field));
    std::string_view name;
    require(field.unescaped_key().get(name));
    json::json_type type;
    require(field.value().type().get(type));
    if (name != rows || type != json::json_type::array || envelope) {
      if (check_json(text_of(field.value())) == JsonState::broken) not_json(simdjson::TAPE_ERROR);
      continue;
    }
    const auto begin = static_cast<std::size_t>(field.value().raw_json_token().data() - page_.data());
    json::array array;
    require(field.value().get_array().get(array));
    map_array(array);
    const char* end = nullptr;
    require(document_->current_location().get(end));
    envelope = std::string(page_.substr(0, begin)) + "[]";
    envelope->append(page_.substr(static_cast<std::size_t>(end - page_.data())));
  }
  if (!envelope && saved) {
    document_->rewind();
    json::value row;
    require(document_->get_value().get(row));
    map_row(row);
  }
  return envelope ? std::move(*envelope) : std::string(saved ? "" : page_);
}

void RowMapper::Impl::map_array(json::array rows) {
  for (auto item : rows) {
    json::value value;
    require(item.get(value));
    map_row(value);
  }
}

void RowMapper::Impl::map_row(json::value value) {
  const auto token = token_of(value);
  row_ = batch_->add_row();
  std::fill(row_.begin(), row_.end(), Cell::absent());
  bad_.clear();
  extra_text_.clear();
  if (token.front() != '{') {
    fail(-1, "json", fmt::format("found {}, expected an object", shown(token)));
    const auto text = text_of(value);
    return reject_row(check_json(text) == JsonState::broken ? "null" : text);
  }
  json::object object;
  require(value.get_object().get(object));
  map_object(object, root_, false);
  finish_row(from_here_back_to(token.data()));
}

// The text of the object that begins there and was just read to its end.
std::string_view RowMapper::Impl::from_here_back_to(const char* begin) {
  const char* end = nullptr;
  if (document_->current_location().get(end)) end = page_.data() + page_.size();
  const std::string_view text(begin, static_cast<std::size_t>(end - begin));
  return text.substr(0, text.rfind('}') + 1);
}

void RowMapper::Impl::map_object(json::object object, RowLevel& level, bool kept) {
  auto expected = level.first;
  std::optional<std::size_t> previous;
  for (auto member : object) {
    json::field field;
    require(std::move(member).get(field));
    const auto place = level.match(field.key().raw(), page_.data() + page_.size(), expected, batch_->repaired);
    if (place == level.fields.size()) continue;
    (previous ? level.fields[*previous].after : level.first) = place;
    previous = place;
    auto& known = level.fields[place];
    expected = known.after;
    if (known.inner)
      map_inner(known, field.value(), kept || known.column >= 0);
    else if (known.column >= 0)
      map_cell(static_cast<std::size_t>(known.column), field.value());
    else if (new_fields_ != NewFields::ignore && !known.ignored && !kept)
      note_new_field(known, field.value());
  }
}

void RowMapper::Impl::map_cell(std::size_t column, json::value value) {
  forget(static_cast<int>(column));
  if (cells_->read(value, columns_[column].type, row_[column])) return;
  fail(static_cast<int>(column), "type",
       fmt::format("column \"{}\": found {}, expected {}", columns_[column].name, shown(token_of(value)),
                   to_string(columns_[column].type)));
}

void RowMapper::Impl::map_inner(RowField& field, json::value value, bool kept) {
  auto& level = *field.inner;
  for (const auto column : level.columns) {
    row_[static_cast<std::size_t>(column)] = Cell::absent();
    forget(column);
  }
  const auto token = token_of(value);
  if (token.front() == '{') {
    json::object object;
    require(value.get_object().get(object));
    map_object(object, level, kept);
    if (field.column >= 0) keep_whole(static_cast<std::size_t>(field.column), from_here_back_to(token.data()));
  } else if (token == "null") {
    for (const auto column : level.columns) row_[static_cast<std::size_t>(column)] = Cell();
    if (field.column >= 0) row_[static_cast<std::size_t>(field.column)] = Cell();
  } else {
    fail(level.columns.front(), "type", fmt::format("\"{}\": found {}, expected an object", field.path, shown(token)));
  }
}

void RowMapper::Impl::keep_whole(std::size_t column, std::string_view object) {
  forget(static_cast<int>(column));
  auto& cell = row_[column];
  cell = cells_->in_page(object);
  if (clean_cell(*batch_, cell, Type::json)) return;
  cell = Cell::absent();
  fail(static_cast<int>(column), "json",
       fmt::format("column \"{}\": found {}, expected JSON", columns_[column].name, shown(object)));
}

void RowMapper::Impl::note_new_field(RowField& field, json::value value) {
  const auto token = token_of(value);
  // Never its value: nobody has said yet whether that may be shown.
  if (new_fields_ == NewFields::fail)
    throw Error(Remedy::give_up,
                fmt::format("the source sends a new field \"{}\" and new_fields is \"fail\": add it to the stream's "
                            "fields, or set schema.new_fields to add, keep_in_extra or ignore",
                            field.path));
  guess_type(field, token);
  if (extra_ < 0) return;
  const auto text = text_of(value);
  const auto state = check_json(text);
  if (state == JsonState::broken) return fail(-1, "json", fmt::format("\"{}\": found what is not JSON", field.path));
  extra_text_ += extra_text_.empty() ? "{" : ",";
  append_json_string(extra_text_, field.path);
  extra_text_ += ':';
  extra_text_ += state == JsonState::dirty ? clean_json(text, batch_->repaired) : text;
}

void RowMapper::Impl::forget(int column) {
  if (bad_.empty()) return;
  std::erase_if(bad_, [column](const Bad& b) { return b.column == column; });
}

void RowMapper::Impl::finish_row(std::string_view raw) {
  batch_->set_raw(cells_->in_page(raw));
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

RowMapper::RowMapper(const StreamSpec& stream)
    : impl_(std::make_unique<Impl>(stream.columns, stream.key, stream.new_fields, stream.guard)) {}
RowMapper::RowMapper(const std::vector<Column>& columns, const std::vector<std::string>& key)
    : impl_(std::make_unique<Impl>(columns, key, NewFields::ignore, nullptr)) {}
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
