#include "sandbox/query.hpp"

#include <nlohmann/json.hpp>

#include "sandbox/errors.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using Json = nlohmann::json;

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Json parse(std::string_view name, const std::string& text) {
  auto value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) throw bad_parameter(fmt::format("param {} must be valid JSON", name));
  return value;
}

Field parse_field(std::string_view text) {
  Field field;
  const auto brace = text.find('{');
  const auto head = text.substr(0, brace);
  field.name = head.substr(0, head.find_first_of(".("));
  if (brace == std::string_view::npos) return field;
  if (!text.ends_with('}')) throw bad_parameter(fmt::format("Syntax error at \"{}\" in fields", text));
  field.inner = parse_fields(split_list(text.substr(brace + 1, text.size() - brace - 2)));
  return field;
}

// Meta: any edge takes the statuses of all levels.
void require_statuses(const Filter& filter) {
  constexpr std::string_view known[] = {
      "ACTIVE", "ADSET_PAUSED",         "ARCHIVED",       "CAMPAIGN_PAUSED", "DELETED",    "DISAPPROVED", "IN_PROCESS",
      "PAUSED", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED",     "WITH_ISSUES"};
  if (filter.field != "effective_status") return;
  for (const auto& value : filter.values)
    if (std::ranges::find(known, value) == std::end(known))
      throw bad_parameter(
          fmt::format("Param effective_status must be one of {{{}}}, not \"{}\"", fmt::join(known, ", "), value));
}

Filter parse_filter(const Json& json, std::optional<Kind> default_kind) {
  if (!json.is_object() || !json.contains("field") || !json.contains("operator"))
    throw bad_parameter("param filtering must be an array of {field, operator, value}");
  Filter filter;
  filter.field = as_text(json["field"]);
  filter.op = as_text(json["operator"]);
  filter.kind = default_kind;
  if (const auto dot = filter.field.find('.'); dot != std::string::npos) {
    const auto prefix = filter.field.substr(0, dot);
    filter.kind.reset();
    for (const auto kind : {Kind::campaign, Kind::adset, Kind::ad})
      if (kind_name(kind) == prefix) filter.kind = kind;
    if (!filter.kind) throw bad_parameter(fmt::format("Filtering field {} is invalid", filter.field));
    filter.field = filter.field.substr(dot + 1);
  }
  if (!json.contains("value")) return filter;
  const auto& value = json["value"];
  if (!value.is_array()) {
    filter.values.push_back(as_text(value));
    return filter;
  }
  for (const auto& one : value) filter.values.push_back(as_text(one));
  return filter;
}

bool compare_time(const Filter& filter, Instant when) {
  const auto bound = filter.values.empty() ? std::nullopt : to_int(filter.values.front());
  if (!bound) throw bad_parameter(fmt::format("Filtering {} needs a unix timestamp", filter.field));
  if (filter.op == "GREATER_THAN") return unix_seconds(when) > *bound;
  if (filter.op == "LESS_THAN") return unix_seconds(when) < *bound;
  throw bad_parameter(fmt::format("Filtering field {} with operation {} is not supported", filter.field, filter.op));
}

bool compare_text(const Filter& filter, std::string_view text) {
  const auto& values = filter.values;
  const bool listed = std::ranges::find(values, text) != values.end();
  if (filter.op == "IN" || filter.op == "EQUAL") return listed;
  if (filter.op == "NOT_IN" || filter.op == "NOT_EQUAL") return !listed;
  if (filter.op == "CONTAIN" && !values.empty()) return text.find(values.front()) != std::string_view::npos;
  throw bad_parameter(fmt::format("Filtering field {} with operation {} is not supported", filter.field, filter.op));
}

}  // namespace

void Params::add_form(std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto pair = text.substr(0, end);
    const auto equals = pair.find('=');
    if (!pair.empty())
      set(url_decode(pair.substr(0, equals)),
          equals == std::string_view::npos ? "" : url_decode(pair.substr(equals + 1)));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

void Params::add_json(std::string_view text) {
  const auto object = parse("body", std::string(text));
  if (!object.is_object()) throw bad_parameter("the body must be a JSON object");
  for (const auto& [name, value] : object.items()) set(name, as_text(value));
}

void Params::set(std::string_view name, std::string value) {
  erase(name);
  values_.emplace_back(name, std::move(value));
}

void Params::erase(std::string_view name) {
  std::erase_if(values_, [&](const auto& pair) { return pair.first == name; });
}

const std::string* Params::find(std::string_view name) const {
  for (const auto& [key, value] : values_)
    if (key == name) return &value;
  return nullptr;
}

std::string Params::get(std::string_view name, std::string_view otherwise) const {
  const auto* value = find(name);
  return value != nullptr ? *value : std::string(otherwise);
}

std::vector<std::string> Params::list(std::string_view name) const {
  const auto text = get(name);
  if (!text.starts_with('[')) return split_list(text);
  std::vector<std::string> out;
  for (const auto& one : parse(name, text)) out.push_back(as_text(one));
  return out;
}

std::vector<Field> parse_fields(const std::vector<std::string>& texts) {
  std::vector<Field> fields;
  for (const auto& text : texts) fields.push_back(parse_field(text));
  return fields;
}

std::vector<Filter> parse_filters(const Params& params, std::optional<Kind> default_kind) {
  std::vector<Filter> filters;
  if (params.has("filtering")) {
    const auto list = parse("filtering", params.get("filtering"));
    if (!list.is_array()) throw bad_parameter("param filtering must be an array");
    for (const auto& one : list) filters.push_back(parse_filter(one, default_kind));
  }
  if (params.has("effective_status"))
    filters.push_back({"effective_status", default_kind, "IN", params.list("effective_status")});
  if (params.has("updated_since") && default_kind != Kind::campaign)
    filters.push_back({"updated_time", default_kind, "GREATER_THAN", {params.get("updated_since")}});
  for (const auto& filter : filters) require_statuses(filter);
  return filters;
}

bool matches(const World& world, const Object& object, const std::vector<Filter>& filters, Instant now) {
  for (const auto& filter : filters) {
    if (filter.field == "impressions") continue;
    if (!filter.kind || *filter.kind > object.kind || object.kind == Kind::creative)
      throw bad_parameter(fmt::format("Filtering field {}.{} is invalid",
                                      filter.kind ? kind_name(*filter.kind) : "account", filter.field));
    const auto& subject = world.above(object, *filter.kind);
    bool fits = false;
    if (filter.field == "id")
      fits = compare_text(filter, std::to_string(subject.id));
    else if (filter.field == "effective_status")
      fits = compare_text(filter, world.effective_status(subject, now));
    else if (filter.field == "name")
      fits = compare_text(filter, subject.name);
    else if (filter.field == "updated_time")
      fits = compare_time(filter, world.updated(subject, now));
    else if (filter.field == "created_time")
      fits = compare_time(filter, subject.created);
    else
      throw bad_parameter(fmt::format("Filtering field {} is invalid", filter.field));
    if (!fits) return false;
  }
  return true;
}

bool filters_status(const std::vector<Filter>& filters) {
  return std::ranges::any_of(filters, [](const Filter& filter) { return filter.field == "effective_status"; });
}

std::size_t page_limit(const Params& params) {
  constexpr std::int64_t kDefault = 25;
  constexpr std::int64_t kMost = 5000;  // more may be asked for, and is not given
  if (!params.has("limit")) return kDefault;
  const auto limit = to_int(params.get("limit"));
  if (!limit || *limit < 1) throw bad_parameter("param limit must be a positive integer");
  return static_cast<std::size_t>(std::min(*limit, kMost));
}

}  // namespace sluice::sandbox
