#include "connectors/clevertap_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_cell.hpp"
#include "core/json_text.hpp"
#include "core/read_json.hpp"
#include "net/api_options.hpp"

namespace sluice::ct {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration between_looks = 2500ms;
// What is still being made after that will not come.
constexpr Duration longest_making = 15min;
// A page is held whole, twice while it is parsed, and six slices may be read at once.
constexpr std::size_t most_body = 16u << 20;

constexpr std::string_view regions[] = {"in1", "sg1", "us1", "aps3", "mec1", "eu1", "global"};

constexpr Option options[] = {
    {.name = "account_id", .value = Value::text, .help = "The project's account id.", .required = true},
    {.name = "passcode",
     .value = Value::secret,
     .help = "A passcode of the account; several may be valid at once, so that one is replaced without a gap.",
     .required = true},
    {.name = "region",
     .value = Value::choice,
     .help = "Where the account lives; needed unless base_url is given.",
     .choices = regions},
    {.name = "timezone",
     .value = Value::zone,
     .help = "The project's time zone as its dashboard shows it: no answer of the API names it.",
     .required = true},
    rate_limit_option,
    retry_option,
    {.name = "base_url", .value = Value::text, .help = "Where the API answers: a proxy or a test server."},
    {.name = "ca_file", .value = Value::text, .help = "Certificate authorities to trust instead of the system's."},
    {.name = "page_size",
     .value = Value::integer,
     .help = "Records asked for at once.",
     .fallback = "5000",
     .least = "23",  // smaller ones were seen to be taken for no limit at all
     .most = "5000"},
    {.name = "in_flight",
     .value = Value::integer,
     .help = "Requests under way at once, of each of CleverTap's APIs; other tools of the account share its three.",
     .fallback = "3",
     .least = "1",
     .most = "3"},
    {.name = "api_profile",
     .value = Value::table,
     .help = "Replaces what sluice knows of the API's paths, parameters and members.",
     .children = profile_options},
};

// The members of a JSON object as parameters behind `path`.
std::string as_query(const std::string& path, const std::string& body) {
  std::string query;
  const auto members = read_json(body);
  for (const auto& [name, value] : members.items()) {
    query += query.empty() && path.find('?') == std::string::npos ? '?' : '&';
    query += url_encode(name) + "=" + url_encode(value.is_string() ? value.get<std::string>() : dumped(value));
  }
  return query;
}

}  // namespace

std::span<const Option> source_options() {
  return options;
}

CleverTapApi::CleverTapApi(const Settings& source, const ConnectorContext& context)
    : source_(source),
      context_(context),
      api_options_(read_api_options(source, context.source)),
      profile_(source.table("api_profile")),
      zone_(source.zone("timezone")),
      page_size_(source.integer("page_size")),
      in_flight_(source.integer("in_flight")) {
  // Refusals are about requests under way, and pass as soon as one of these ends.
  api_options_.limit.first_pause = 1s;
  if (!source.has("region") && !source.has("base_url"))
    throw Error(Remedy::give_up, "\"region\" is missing: in1, sg1, us1, aps3, mec1, eu1 or global");
}

std::string CleverTapApi::base_url() const {
  if (source_.has("base_url")) return source_.text("base_url");
  const auto region = source_.text("region");
  if (region == "global") return profile_.at("host.global");
  auto host = profile_.at("host.region");
  constexpr std::string_view mark = "{region}";
  if (const auto at = host.find(mark); at != std::string::npos) host.replace(at, mark.size(), region);
  return host;
}

void CleverTapApi::open() {
  if (api_) return;
  root_ = base_url();
  while (root_.ends_with('/')) root_.pop_back();
  auto* http = context_.http;
  if (http == nullptr) {
    HttpOptions http_options;
    http_options.max_body = most_body;
    if (source_.has("ca_file")) http_options.ca_file = source_.text("ca_file");
    own_http_ = make_http_client(context_.executor, context_.clock, http_options);
    http = own_http_.get();
  }
  dialect_ = std::make_unique<CleverTapDialect>(source_.text("account_id"), source_.reference("passcode"), profile_);
  api_options_.quotas = context_.quotas;
  api_ = std::make_unique<Api>(api_options_, *http, *dialect_, context_.clock, context_.events, context_.rng);
}

// CleverTap: three under way at once, of an account and each of its APIs.
const std::shared_ptr<Semaphore>& CleverTapApi::places(const std::string& family) {
  auto& known = families_[family];
  if (known) return known;
  auto& limits = context_.in_flight ? *context_.in_flight : alone_;
  // Sources of one account that allow different numbers do not share them.
  const auto name = fmt::format("clevertap {} {} {} {}", root_, source_.text("account_id"), family, in_flight_);
  known = limits.of(context_.executor, name, in_flight_);
  return known;
}

ApiRequest CleverTapApi::request(const std::string& method, const std::string& family, const std::string& path,
                                 Output* out) {
  open();
  HttpRequest http(method, root_ + path);
  http.scope = family;
  ApiRequest request(std::move(http), std::vector<std::string>(1, family), out ? out->priority() : Priority::scheduled);
  request.in_flight = places(family).get();
  request.slice = out;
  return request;
}

task<HttpResponse> CleverTapApi::get(std::string family, std::string path, Output* out) {
  auto request = this->request("GET", family, path, out);
  co_return co_await patiently(std::move(request), out);
}

task<HttpResponse> CleverTapApi::ask_with(std::string family, std::string path, std::string body, Output* out) {
  const auto& method = profile_.at("method." + family);
  if (method == "GET") path += as_query(path, body);
  auto request = this->request(method, family, path, out);
  if (method != "GET") {
    request.http.headers.emplace_back("Content-Type", "application/json");
    request.http.body = std::move(body);
  }
  co_return co_await patiently(std::move(request), out);
}

task<HttpResponse> CleverTapApi::attempt(const ApiRequest& request, bool& in_progress) {
  in_progress = false;
  try {
    auto same = request;
    co_return co_await api_->call(std::move(same));
  } catch (const ApiError& error) {
    in_progress = error.reason() == reason::in_progress;
    if (!in_progress) throw;
  }
  co_return HttpResponse();
}

// Bounded by time, not by tries: large exports take minutes to be made.
task<HttpResponse> CleverTapApi::patiently(ApiRequest request, Output* out) {
  const auto began = clock().uptime();
  bool in_progress = false;
  for (;;) {
    auto answer = co_await attempt(request, in_progress);
    if (!in_progress) co_return answer;
    if (clock().uptime() - began > longest_making)
      throw Error(Remedy::retry, fmt::format("{}: the answer was still not made after {}",
                                             without_secrets(request.http.url), format_duration(longest_making)));
    co_await pause(out);
  }
}

task<void> CleverTapApi::pause(Output* out) {
  if (out) return out->away(clock().sleep_for(between_looks));
  return clock().sleep_for(between_looks);
}

task<json> CleverTapApi::ask(std::string family, std::string path, std::string body, Output* out) {
  HttpResponse answer;
  if (body.empty())
    answer = co_await get(family, path, out);
  else
    answer = co_await ask_with(family, path, std::move(body), out);
  auto parsed = read_json(answer.body);
  if (parsed.is_discarded()) throw Error(Remedy::retry, path + ": the answer is not valid JSON");
  co_return parsed;
}

bool CleverTapApi::says_status(const json& answer, std::string_view entry) const {
  const auto& status = member(answer, profile_, "key.status");
  const auto& names = profile_.names(entry);
  return status.is_string() &&
         std::find(names.begin(), names.end(), status.get_ref<const std::string&>()) != names.end();
}

void CleverTapApi::require_success(const json& answer, const std::string& path, const std::string& text) const {
  if (says_status(answer, "word.success")) return;
  const auto& status = member(answer, profile_, "key.status");
  not_understood(profile_.at("key.status"), path,
                 fmt::format("\"{}\" to be \"{}\"", profile_.at("key.status"), profile_.at("word.success")),
                 status.is_null()     ? "nothing"
                 : status.is_string() ? shown(dumped(status))
                                      : status.type_name(),
                 text);
}

void CleverTapApi::not_understood(const std::string& place, const std::string& path, const std::string& expected,
                                  const std::string& found, const std::string& answer) const {
  const auto what = fmt::format(
      "the answer of {} is not built as expected: expected {}, found {}. Nothing of it was loaded; the answer for "
      "a slice is kept in the quarantine. If CleverTap's API has changed, say how in api_profile of the source (now "
      "{})",
      path.substr(0, path.find('?')), expected, found, profile_.version());
  throw UnknownStructure(place, dialect_->without_passcode(what),
                         dialect_->without_passcode(shortened_json(answer, most_kept)));
}

std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

const json& member(const json& answer, const ApiProfile& profile, std::string_view entry) {
  static const json nothing;
  if (!answer.is_object()) return nothing;
  for (const auto& name : profile.names(entry))
    if (const auto found = answer.find(name); found != answer.end()) return *found;
  return nothing;
}

std::int64_t day_number(Day day) {
  return day.year() * 10'000 + day.month() * 100 + day.day();
}

}  // namespace sluice::ct
