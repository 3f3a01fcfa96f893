#include "connectors/clevertap_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_cell.hpp"
#include "core/json_text.hpp"
#include "core/read_json.hpp"

namespace sluice::ct {
namespace {

using nlohmann::json;

// CleverTap's cursors have 1.5 to 2.4 KB.
constexpr std::size_t like_a_cursor = 64;

// The stream as its records are read.
StreamSpec as_read(StreamSpec stream) {
  // Promoted instants and days are texts: CleverTap has a way of its own to write them.
  for (auto& column : stream.columns)
    if (column.type.type == Type::timestamp || column.type.type == Type::date) column.type = Type::text;
  // Members that no column asks for are noticed even where the stream ignores them: they are the first sign of a
  // change.
  if (stream.new_fields == NewFields::ignore) stream.new_fields = NewFields::add;
  return stream;
}

bool contains(std::string name, std::string_view part) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find(part) != std::string::npos;
}

bool may_be_cursor(const std::string& name, const json& value) {
  if (value.is_string() && value.get_ref<const std::string&>().size() >= like_a_cursor) return true;
  return contains(name, "cursor") || contains(name, "next") || contains(name, "page") || contains(name, "paging");
}

std::string described(const std::string& name, const json& value) {
  return fmt::format("an unknown member \"{}\" ({})", name, value.type_name());
}

// Never a word of the value itself: nobody knows what it is.
std::string described(const json& value) {
  return fmt::format("another kind of value ({})", value.type_name());
}

// The rejection is about the record as such, not about one value of it.
bool about_shape(const Reject& reject) {
  return reject.rule != "type" || reject.reason.starts_with("column \"ts_local\"") || reject.reason.starts_with("\"");
}

}  // namespace

// The page around the records.
struct RecordReader::Shape {
  std::string path, kept;
  json envelope;
};

RecordReader::RecordReader(const CleverTapApi& api, const StreamSpec& stream, std::string_view rows,
                           std::function<void(Batch&)> finish)
    : api_(api), profile_(api.profile()), rows_(rows), mapper_(as_read(stream)), finish_(std::move(finish)) {
  if (stream.from == "events") properties_ = place_of(stream, "event_props");
}

void RecordReader::fail(const Shape& shape, const std::string& place, const std::string& expected,
                        const std::string& found) const {
  api_.not_understood(place, shape.path, expected, found, shape.kept);
}

// The records stand under one of the names that the profile has for them.
MappedPage RecordReader::map(std::string body) {
  const auto& names = profile_.names(rows_);
  auto mapped = mapper_.map(std::move(body), names.front());
  for (auto name = names.begin() + 1; name != names.end() && mapped.batch.empty(); ++name)
    mapped = mapper_.map(std::move(mapped.envelope), *name);
  return mapped;
}

// An answer without records is an empty one, unless something else in it could be them. Those that were read are no
// longer in the envelope.
void RecordReader::check_list(const Shape& shape) const {
  const auto expected = fmt::format("a list \"{}\"", profile_.at(rows_));
  bool any = false;
  for (const auto& name : profile_.names(rows_)) {
    const auto list = shape.envelope.find(name);
    if (list == shape.envelope.end() || list->is_null()) continue;
    if (!list->is_array()) fail(shape, name, expected, described(*list));
    if (!list->empty()) fail(shape, name, expected, fmt::format("a second one, \"{}\"", name));
    any = true;
  }
  if (any) return;
  for (const auto& [name, value] : shape.envelope.items())
    if (value.is_structured() && !profile_.knows_member(name))
      fail(shape, profile_.at(rows_), expected, described(name, value));
}

std::string RecordReader::next_cursor(const Shape& shape) const {
  const auto& next = member(shape.envelope, profile_, "key.next_cursor");
  const auto expected = fmt::format("a text \"{}\", or none on the last page", profile_.at("key.next_cursor"));
  if (next.is_string()) return next.get<std::string>();
  if (!next.is_null()) fail(shape, profile_.at("key.next_cursor"), expected, described(next));
  for (const auto& [name, value] : shape.envelope.items())
    if (!profile_.knows_member(name) && may_be_cursor(name, value))
      fail(shape, profile_.at("key.next_cursor"), expected, described(name, value));
  return {};
}

void RecordReader::check_rows(const Shape& shape, const Batch& batch) const {
  if (batch.rows() == 0 && !batch.rejects.empty() &&
      std::all_of(batch.rejects.begin(), batch.rejects.end(), about_shape))
    fail(shape, batch.rejects.front().rule, "records of the known form",
         fmt::format("none among {}: {}", batch.rejects.size(), batch.rejects.front().reason));
  if (!properties_ || batch.rows() == 0) return;
  for (std::size_t i = 0; i < batch.rows(); ++i)
    if (batch.row(i)[*properties_].kind != Kind::absent) return;
  for (const auto& [path, type] : batch.unknown_fields)
    if (type.type == Type::json)
      fail(shape, profile_.at("event.props"), fmt::format("\"{}\" in the records", profile_.at("event.props")),
           fmt::format("an unknown member \"{}\" in them", path));
}

RecordPage RecordReader::page(const std::string& path, std::string body) {
  Shape shape;
  shape.path = path;
  shape.kept = shortened_json(body, most_kept);
  if (const auto first = body.find_first_not_of(" \r\n\t"); first != std::string::npos && body[first] == '[')
    fail(shape, "", "an object", "a list");
  auto mapped = map(std::move(body));
  shape.envelope = json::parse(mapped.envelope, nullptr, false, false);
  if (shape.envelope.is_discarded()) throw Error(Remedy::retry, path + ": the answer is not valid JSON");
  const auto verdict = api_.dialect().judge(HttpRequest("GET", path), 200, shape.envelope);
  if (verdict.error) throw ApiError(verdict.error->remedy(), verdict.reason, verdict.error->what());
  api_.require_success(shape.envelope, path, shape.kept);
  check_list(shape);
  RecordPage page{std::move(mapped.batch), next_cursor(shape)};
  finish_(page.batch);
  page.batch.compact();
  check_rows(shape, page.batch);
  return page;
}

Batch RecordReader::saved(std::string text) {
  const auto answer = read_json(text);
  const auto& error = member(answer, profile_, "key.error");
  if (!error.is_null()) throw Error(Remedy::give_up, "the API refused: " + shown(dumped(error)));
  const auto& names = profile_.names(rows_);
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const auto& name) { return answer.is_object() && answer.contains(name); });
  auto batch = mapper_.map_saved(std::move(text), found == names.end() ? names.front() : *found);
  finish_(batch);
  batch.compact();
  return batch;
}

std::size_t place_of(const StreamSpec& stream, std::string_view column) {
  const auto found =
      std::find_if(stream.columns.begin(), stream.columns.end(), [&](const Column& c) { return c.name == column; });
  if (found == stream.columns.end()) throw std::logic_error(fmt::format("{} has no column {}", stream.name, column));
  return static_cast<std::size_t>(found - stream.columns.begin());
}

}  // namespace sluice::ct
