#include "connectors/facebook_ads_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/read_json.hpp"
#include "net/api_options.hpp"

namespace sluice::facebook {
namespace {

using nlohmann::json;

// Of one answer. A page that is larger is asked for again with fewer rows, so that eight slices stay within memory.
constexpr std::size_t most_body = 32u << 20;

// Refusals lower Meta's quota: a larger page is tried rarely.
constexpr int pages_before_growth = 10;

constexpr Option report_options[] = {
    {.name = "poll",
     .value = Value::range,
     .help = "Shortest and longest pause between two looks at a report.",
     .fallback = "2s..20s"},
    {.name = "start_timeout",
     .value = Value::duration,
     .help = "A report that has not begun by then is submitted again.",
     .fallback = "10m"},
    {.name = "stall_timeout",
     .value = Value::duration,
     .help = "A report that makes no progress for so long is submitted again.",
     .fallback = "15m"},
    {.name = "timeout",
     .value = Value::duration,
     .help = "A report that is not complete by then is submitted again.",
     .fallback = "1h"},
    {.name = "concurrency",
     .value = Value::integer,
     .help = "Reports under way at once, per ad account.",
     .fallback = "10",
     .least = "1"},
};

constexpr Option options[] = {
    {.name = "access_token",
     .value = Value::secret,
     .help = "A token with ads_read; a system user's does not expire.",
     .required = true},
    {.name = "app_secret", .value = Value::secret, .help = "The app's secret: proves each call (appsecret_proof)."},
    {.name = "accounts",
     .value = Value::text_list,
     .help = "Ad accounts by their numbers; left out: every account that the token can read."},
    rate_limit_option,
    retry_option,
    {.name = "base_url",
     .value = Value::text,
     .help = "Where the API answers: a proxy or a test server.",
     .fallback = "https://graph.facebook.com"},
    {.name = "api_version", .value = Value::text, .help = "Version of the Marketing API.", .fallback = "v26.0"},
    {.name = "ca_file", .value = Value::text, .help = "Certificate authorities to trust instead of the system's."},
    {.name = "page_size", .value = Value::integer, .help = "Rows asked for at once.", .fallback = "500", .least = "1"},
    {.name = "report",
     .value = Value::table,
     .help = "How insights reports are waited for.",
     .children = report_options},
};

ReportOptions read_report_options(const Settings& table) {
  ReportOptions options;
  options.poll = table.range("poll");
  options.start_timeout = table.duration("start_timeout");
  options.stall_timeout = table.duration("stall_timeout");
  options.timeout = table.duration("timeout");
  options.concurrency = table.integer("concurrency");
  return options;
}

// As digits. Throws Error(give_up).
std::vector<std::string> read_accounts(const Settings& source) {
  const auto refuse = [](const std::string& why) { throw Error(Remedy::give_up, "\"accounts\": " + why); };
  std::vector<std::string> accounts;
  for (const auto& text : source.texts("accounts")) {
    const auto digits = text.substr(text.starts_with("act_") ? 4 : 0);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos)
      refuse(fmt::format("\"{}\" is no ad account; expected its number, like \"1234567890\"", text));
    if (std::find(accounts.begin(), accounts.end(), digits) != accounts.end())
      refuse(fmt::format("the ad account {} stands there twice; remove one", digits));
    accounts.push_back(digits);
  }
  if (accounts.empty() && source.has("accounts"))
    refuse("it is empty: name some, or leave it out for every account that the token can read");
  return accounts;
}

}  // namespace

std::span<const Option> source_options() {
  return options;
}

GraphApi::GraphApi(const Settings& source, const ConnectorContext& context)
    : source_(source),
      context_(context),
      api_options_(read_api_options(source, context.source)),
      reports_(read_report_options(source.table("report"))),
      page_size_(source.integer("page_size")) {
  if (!source.refers("accounts")) accounts_ = read_accounts(source);
}

void GraphApi::open() {
  if (api_) return;
  const auto version = source_.text("api_version");
  root_ = base_url();
  while (root_.ends_with('/')) root_.pop_back();
  root_ += "/" + version + "/";
  if (source_.refers("accounts")) accounts_ = read_accounts(source_);
  auto* http = context_.http;
  if (http == nullptr) {
    HttpOptions http_options;
    http_options.max_body = most_body;
    if (source_.has("ca_file")) http_options.ca_file = source_.text("ca_file");
    own_http_ = make_http_client(context_.executor, context_.clock, http_options);
    http = own_http_.get();
  }
  std::optional<TextRef> secret;
  if (source_.has("app_secret")) secret = source_.reference("app_secret");
  dialect_ = std::make_unique<FacebookDialect>(source_.reference("access_token"), secret, version);
  api_options_.quotas = context_.quotas;
  api_ = std::make_unique<Api>(api_options_, *http, *dialect_, context_.clock, context_.events, context_.rng);
}

const std::vector<std::string>& GraphApi::accounts() {
  open();
  return accounts_;
}

ApiRequest GraphApi::request(const char* method, const std::string& node, const Caller& caller) const {
  HttpRequest http(method, root_ + node);
  std::vector<std::string> buckets{facebook_app_bucket};
  if (!caller.account.empty()) {
    http.scope = "act_" + caller.account;
    buckets.push_back(http.scope);
  }
  ApiRequest request(std::move(http), std::move(buckets), caller.priority);
  request.slice = caller.slice;
  return request;
}

task<HttpResponse> GraphApi::get(std::string node, Headers parameters, Caller caller) {
  open();
  auto request = this->request("GET", node, caller);
  if (!parameters.empty()) request.http.url += "?" + form_encode(parameters);
  co_return co_await call(std::move(request));
}

task<HttpResponse> GraphApi::post(std::string node, Headers parameters, Caller caller) {
  open();
  auto request = this->request("POST", node, caller);
  request.http.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.http.body = form_encode(parameters);
  co_return co_await call(std::move(request));
}

task<HttpResponse> GraphApi::call(ApiRequest request) {
  auto answer = co_await api_->call(std::move(request));
  if (const auto theirs = date_of(answer)) ahead_ = context_.clock.now() - *theirs;
  co_return answer;
}

void GraphApi::throttled(const Verdict& verdict) {
  api_->throttled(verdict);
}

EdgeWalk::EdgeWalk(GraphApi& api, RowMapper& mapper, std::string node, Headers parameters, Caller caller)
    : api_(api),
      mapper_(mapper),
      node_(std::move(node)),
      parameters_(std::move(parameters)),
      caller_(std::move(caller)),
      limit_(api.page_size()) {}

// Nothing when the page was too large and can be made smaller.
task<std::optional<HttpResponse>> EdgeWalk::ask() {
  auto parameters = parameters_;
  parameters.emplace_back("limit", std::to_string(limit_));
  if (!after_.empty()) parameters.emplace_back("after", after_);
  std::optional<HttpResponse> answer;
  try {
    answer = co_await api_.get(node_, std::move(parameters), caller_);
  } catch (const ApiError& error) {
    const bool too_deep = error.reason() == facebook_reason::too_deep;
    // Meta: an error without an explanation that does not pass means too much data as well.
    const bool too_large = error.remedy() == Remedy::shrink || error.reason() == facebook_reason::unexplained;
    if (too_deep || !too_large || limit_ == 1) throw;
  }
  co_return answer;
}

task<std::optional<MappedPage>> EdgeWalk::next() {
  std::optional<MappedPage> page;
  if (done_) co_return page;
  auto answer = co_await ask();
  while (!answer) {
    limit_ /= 2;
    good_pages_ = 0;
    answer = co_await ask();
  }
  if (++good_pages_ == pages_before_growth) {
    limit_ = std::min(api_.page_size(), limit_ * 2);
    good_pages_ = 0;
  }
  page.emplace(mapper_.map(std::move(answer->body), "data"));
  turn(page->envelope);
  co_return page;
}

// Meta: `paging.next` alone says that there is more; a short or empty page does not say that there is not, and
// `cursors.after` is there on the last page too. `next` is never fetched: it may hold the token.
void EdgeWalk::turn(const std::string& envelope) {
  const auto page = read_json(envelope);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array())
    throw Error(Remedy::retry, fmt::format("{}: the answer has no list of rows", node_));
  const auto paging = page.value("paging", json::object());
  done_ = !paging.is_object() || !paging.contains("next");
  if (done_) return;
  const auto cursors = paging.value("cursors", json::object());
  const auto after = cursors.is_object() ? cursors.value("after", json()) : json();
  if (!after.is_string() || after.get_ref<const std::string&>().empty())
    throw Error(Remedy::retry, fmt::format("{}: the API says that there is another page, but not where", node_));
  after_ = after.get<std::string>();
  guard_.visit(after_);
}

task<std::optional<MappedPage>> next_page(EdgeWalk& walk) {
  try {
    co_return co_await walk.next();
  } catch (const ApiError& error) {
    if (error.remedy() != Remedy::shrink || error.reason() == facebook_reason::too_deep) throw;
    throw Error(
        Remedy::retry,
        fmt::format("even a page of one row was too large: {}. If it stays, ask for fewer fields", error.what()));
  }
}

void refuse_rejects(const Batch& batch, const std::string& node) {
  if (batch.rejects.empty()) return;
  throw Error(Remedy::retry, fmt::format("{}: a row cannot be read: {}", node, batch.rejects.front().reason));
}

void Filters::add(Level level, const char* field, const char* op, const std::string& value) {
  if (!text_.empty()) text_ += ",";
  text_ += fmt::format(R"({{"field":"{}.{}","operator":"{}","value":{}}})", to_string(level), field, op, value);
}

void Filters::any_status(Level level) {
  json statuses = json::array();
  for (const auto status : effective_statuses(level)) statuses.push_back(status);
  add(level, "effective_status", "IN", statuses.dump());
}

void Filters::ids(Level level, const std::vector<std::string>& ids) {
  add(level, "id", "IN", json(ids).dump());
}

void Filters::updated_after(Level level, std::int64_t unix_seconds) {
  add(level, "updated_time", "GREATER_THAN", std::to_string(unix_seconds));
}

void Filters::updated_before(Level level, std::int64_t unix_seconds) {
  add(level, "updated_time", "LESS_THAN", std::to_string(unix_seconds));
}

}  // namespace sluice::facebook
