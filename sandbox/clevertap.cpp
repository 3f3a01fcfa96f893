#include "sandbox/clevertap.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sandbox/query.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using Answer = CleverTapApi::Answer;

constexpr Duration kExportLives = 4h, kExportIdles = 1h;
constexpr std::int64_t kFirstRequest = 384'649'162'721'000;

Answer refuse(int status, const std::string& error, int code) {
  return {status, Json{{"status", "fail"}, {"error", error}, {"code", code}}.dump()};
}

Answer incorrect_usage() {
  return refuse(200, "Incorrect Usage", 3);
}

std::optional<Day> day_from(const Json& body, const char* name) {
  const auto at = body.find(name);
  if (at == body.end() || !at->is_number_integer()) return {};
  const auto number = at->get<std::int64_t>();
  return parse_day(fmt::format("{:04}-{:02}-{:02}", number / 10'000, number / 100 % 100, number % 100));
}

struct Window {
  Day from, to;
};

std::optional<Window> window_of(const Json& body) {
  if (!body.is_object()) return {};
  const auto from = day_from(body, "from"), to = day_from(body, "to");
  if (!from || !to || *from > *to) return {};
  return Window{*from, *to};
}

int kind_of(const Json& body) {
  const auto name = body.find("event_name");
  const auto& kinds = AppWorld::kinds();
  for (std::size_t i = 0; i < kinds.size(); ++i)
    if (name != body.end() && name->is_string() && *name == kinds[i].name) return static_cast<int>(i);
  return -1;
}

Answer unknown_event(const Json& body) {
  const auto name = body.is_object() ? body.value("event_name", Json()) : Json();
  return refuse(200, fmt::format("[\"Invalid event : {}\"]", name.is_string() ? name.get<std::string>() : ""), 400);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

CleverTapApi::CleverTapApi(const Options& options, Faults& faults)
    : passcode_(options.token), faults_(faults), world_(options) {}

bool CleverTapApi::owns(std::string_view path) {
  return path.starts_with("/1/") || path == "/getSchema";
}

Answer CleverTapApi::answer(const Call& call, Instant now) {
  const auto strikes = [&](std::string_view name) { return faults_.strikes(name, call.subject); };
  if (call.account.empty()) return refuse(503, "Service unavailable", 503);
  if (call.passcode != passcode_ || strikes("invalid_token")) return refuse(401, "Account ID is not valid", 401);
  if (strikes("too_many_requests")) return refuse(429, "Too many concurrent requests", 429);
  if (strikes("http500")) return refuse(500, "Internal error", 500);
  if (const auto code = strikes("fail_code"))
    return refuse(200, "Something went wrong", static_cast<int>(to_int(*code).value_or(500)));
  auto answer = route(call, now);
  if (const auto names = strikes("renamed_member")) {
    const auto equals = names->find('=');
    const auto from = equals == std::string::npos ? "records" : names->substr(0, equals);
    const auto to = equals == std::string::npos ? "data" : names->substr(equals + 1);
    replace_all(answer.body, "\"" + from + "\":", "\"" + to + "\":");
  }
  return answer;
}

Answer CleverTapApi::route(const Call& call, Instant now) {
  Params query;
  query.add_form(call.query);
  const bool post = call.method == "POST";
  if (call.path == "/1/events.json" || call.path == "/1/profiles.json") {
    if (post) return begin(call, now);
    constexpr std::string_view name = "cursor=";
    return call.query.starts_with(name) ? page(call, call.query.substr(name.size()), now) : incorrect_usage();
  }
  if (call.path == "/1/counts/events.json") return post ? count(call, now) : poll_count(call, now);
  if (call.path == "/1/targets/list.json" && post) return campaigns(call, now);
  if (call.path == "/1/targets/result.json" && post) return campaign_report(call, now);
  if (call.path == "/getSchema" && !post) return schema();
  return refuse(404, "Not found", 404);
}

Answer CleverTapApi::schema() {
  auto events = Json::array();
  for (const auto& kind : AppWorld::kinds()) events.push_back(Json{{"name", kind.name}});
  return {200, Json{{"status", "success"}, {"events", events}}.dump()};
}

std::string CleverTapApi::cursor_of(std::int64_t id, std::size_t from) {
  // CleverTap's come percent-encoded: whoever encodes them again gets nowhere.
  return percent_encode(fmt::format("ZiZi/{}+{}/{}==", id, from, hash_of(id, from)));
}

// The export and the row that a cursor stands for; nothing where it is not byte for byte one that was given.
std::optional<std::pair<std::int64_t, std::size_t>> CleverTapApi::place_of(const std::string& cursor) {
  const auto plain = url_decode(cursor);
  const auto slash = plain.find('/'), plus = plain.find('+'), end = plain.rfind('/');
  if (slash == plain.npos || plus == plain.npos || plus < slash || end < plus) return {};
  const auto id = to_int(std::string_view(plain).substr(slash + 1, plus - slash - 1));
  const auto from = to_int(std::string_view(plain).substr(plus + 1, end - plus - 1));
  if (!id || !from || *from < 0 || cursor != cursor_of(*id, static_cast<std::size_t>(*from))) return {};
  return std::pair(*id, static_cast<std::size_t>(*from));
}

Answer CleverTapApi::begin(const Call& call, Instant now) {
  const auto body = Json::parse(call.body, nullptr, false);
  const auto window = window_of(body);
  if (!window) return refuse(200, "Invalid dates", 4002);
  const int kind = kind_of(body);
  if (kind < 0) return unknown_event(body);
  if (window->to > day_of(now, world_.zone())) return refuse(200, "Dates lie in the future", 4002);
  const bool profiles = call.path == "/1/profiles.json";
  const bool exportable = profiles || AppWorld::kinds()[static_cast<std::size_t>(kind)].exportable;
  if (!exportable || faults_.strikes("export_not_allowed", call.subject))
    return refuse(400, "Export not allowed for this event", 400);
  Params query;
  query.add_form(call.query);
  Export made;
  made.path = call.path;
  made.events = world_.events(kind, window->from, window->to, now);
  if (profiles) made.people = world_.people(made.events);
  made.include = {query.get("app", "false") == "true", query.get("events", "true") == "true",
                  query.get("profile", "true") == "true"};
  // Seen once: pages of less than 23 are taken for no limit at all.
  const auto size = to_int(query.get("batch_size", "5000")).value_or(5000);
  made.page =
      size < 23 ? std::max<std::size_t>(1, made.size()) : static_cast<std::size_t>(std::min<std::int64_t>(size, 5000));
  made.begun = made.used = now;
  const auto id = ++next_id_;
  if (exports_.size() > 100) exports_.erase(exports_.begin());
  exports_.emplace(id, std::move(made));
  return {200, Json{{"status", "success"}, {"cursor", cursor_of(id, 0)}}.dump()};
}

Answer CleverTapApi::page(const Call& call, const std::string& cursor, Instant now) {
  const auto strikes = [&](std::string_view name) { return faults_.strikes(name, call.subject); };
  if (strikes("in_progress")) return refuse(200, "Request still in progress, please retry later", 2);
  if (strikes("cursor_expired")) return incorrect_usage();
  const auto place = place_of(cursor);
  if (!place) return incorrect_usage();
  const auto [id, from] = *place;
  const auto known = exports_.find(id);
  if (known == exports_.end() || known->second.path != call.path) return incorrect_usage();
  auto& made = known->second;
  if (now - made.begun > kExportLives || now - made.used > kExportIdles) {
    exports_.erase(known);
    return refuse(200, "Invalid cursor", 400);
  }
  made.used = now;
  const auto begin = std::min(from, made.size());
  const auto end = std::min(begin + made.page, made.size());
  rows_served_ += static_cast<std::int64_t>(end - begin);
  std::string text = R"({"status":"success")";
  if (strikes("duplicate_cursor"))
    text += fmt::format(R"(,"next_cursor":"{}")", cursor);
  else if (end < made.size())
    text += fmt::format(R"(,"next_cursor":"{}")", cursor_of(id, end));
  if (begin > 0) text += fmt::format(R"(,"previous_cursor":"{}")", cursor_of(id, begin - std::min(begin, made.page)));
  // An empty range has no list of records at all.
  for (auto i = begin; i < end; ++i) {
    text += i == begin ? R"(,"records":[)" : ",";
    append_row(made, i, text);
  }
  text += begin < end ? "]}" : "}";
  spoil_page(call.subject, text);
  return {200, std::move(text)};
}

void CleverTapApi::append_row(const Export& made, std::size_t i, std::string& text) {
  if (!made.people.empty())
    text += world_.profile(made.people[i], made.include, made.begun);
  else if (prepared_.fit(made.include))
    prepared_.append(made.events[i], made.include, text);
  else
    text += world_.record(made.events[i], made.include, made.begun);
}

void CleverTapApi::spoil_page(const std::string& subject, std::string& text) {
  const auto strikes = [&](std::string_view name) { return faults_.strikes(name, subject); };
  if (strikes("retyped_property")) replace_all(text, "\"Amount\":", "\"Amount\":\"INR\",\"Amount before\":");
  if (strikes("new_property")) replace_all(text, "\"event_props\":{", "\"event_props\":{\"Brand new\":true,");
  constexpr std::string_view time = "\"ts\":";
  if (const auto at = text.find(time); strikes("bad_row") && at != std::string::npos)
    text.replace(at, time.size(), "\"ts\":\"soon\",\"was\":");
}

Answer CleverTapApi::count(const Call& call, Instant now) {
  const auto body = Json::parse(call.body, nullptr, false);
  const auto window = window_of(body);
  if (!window) return refuse(200, "Invalid dates", 4002);
  const int kind = kind_of(body);
  if (kind < 0) return unknown_event(body);
  auto value = world_.count(kind, window->from, window->to, now);
  if (faults_.strikes("wrong_count", call.subject)) ++value;
  const auto slow = faults_.strikes("slow_count", call.subject);
  if (!slow) return {200, Json{{"status", "success"}, {"count", value}}.dump()};
  const auto id = kFirstRequest + ++next_id_;
  counting_[id] = {value, static_cast<int>(to_int(*slow).value_or(1)) - 1};
  return {200, Json{{"status", "partial"}, {"req_id", id}}.dump()};
}

Answer CleverTapApi::poll_count(const Call& call, Instant) {
  Params query;
  query.add_form(call.query);
  const auto id = to_int(query.get("req_id"));
  const auto known = id ? counting_.find(*id) : counting_.end();
  if (known == counting_.end()) return refuse(400, "invalid request id", 400);
  if (known->second.polls-- > 0) return {200, Json{{"status", "partial"}, {"req_id", *id}}.dump()};
  const auto value = known->second.value;
  counting_.erase(known);
  return {200, Json{{"status", "success"}, {"count", value}}.dump()};
}

Answer CleverTapApi::campaigns(const Call& call, Instant now) {
  const auto window = window_of(Json::parse(call.body, nullptr, false));
  if (!window) return refuse(200, "Invalid dates", 4002);
  auto targets = Json::array();
  for (const auto& campaign : world_.campaigns(window->from, window->to))
    targets.push_back(
        Json{{"id", campaign.id},
             {"name", campaign.name},
             {"scheduled_on", to_int(app_stamp(campaign.scheduled, world_.zone()).substr(0, 12)).value_or(0)},
             {"status", campaign.scheduled > now ? "pending" : "completed"}});
  return {200, Json{{"status", "success"}, {"targets", targets}}.dump()};
}

Answer CleverTapApi::campaign_report(const Call& call, Instant now) {
  const auto body = Json::parse(call.body, nullptr, false);
  const auto id =
      body.is_object() && body.contains("id") && body["id"].is_number_integer() ? body["id"].get<std::int64_t>() : 0;
  const auto day = Day(1970, 1, 1) + (id - 1'457'400'000);
  const auto found = world_.campaigns(day, day);
  if (found.empty()) return refuse(200, "Invalid target", 400);
  const auto shape = faults_.strikes("no_result", call.subject);
  if (shape && *shape == "500") return refuse(500, "This target has no result as of yet", 500);
  if (shape && *shape == "success")
    return {200, R"({"status":"success","error":"This target hasn't been completed","code":200})"};
  const auto age = now - found.front().scheduled;
  if (shape || age < 1h) return {200, R"({"status":"fail","error":"This target hasn't been completed"})"};
  const auto hours = std::min<std::int64_t>(age / 1h, 24 * 31);
  const auto sent = static_cast<std::int64_t>(500 + hash_of(id) % 4000);
  const Json result{{"sent", sent}, {"viewed", sent * hours / 1500}, {"clicked", sent * hours / 9000}};
  return {200, Json{{"status", "success"}, {"result", result}}.dump()};
}

}  // namespace sluice::sandbox
