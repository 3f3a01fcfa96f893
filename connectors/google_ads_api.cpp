#include "connectors/google_ads_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/api_options.hpp"

namespace sluice::google {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::string_view scope = "https://www.googleapis.com/auth/adwords";
constexpr const char* usual_token_url = "https://oauth2.googleapis.com/token";
// Probed when the configured version has ended, the newest first.
constexpr const char* known_versions[] = {"v27", "v26", "v25", "v24", "v23"};
constexpr Duration versions_hold = 1h, no_versions_hold = 5min;
// How long an answer may bring nothing: large queries are worked on for minutes.
constexpr Duration longest_silence = 5min;

constexpr std::string_view methods[] = {"search_stream", "search"};

constexpr Option options[] = {
    {.name = "client_id", .value = Value::text, .help = "Of the OAuth client that the refresh token was made for."},
    {.name = "client_secret", .value = Value::secret, .help = "Of the same OAuth client."},
    {.name = "refresh_token", .value = Value::secret, .help = "Of a user who can read the customers."},
    {.name = "service_account",
     .value = Value::secret,
     .help = "The JSON key file of a service account that is a user of the accounts, instead of the three above."},
    {.name = "impersonated_email",
     .value = Value::text,
     .help = "A user for whom the service account acts, where the Workspace domain lets it; left out: for itself."},
    {.name = "login_customer_id",
     .value = Value::text,
     .help = "The manager through which the customers are reached, by its number."},
    {.name = "developer_token",
     .value = Value::secret,
     .help = "Not needed any more: access belongs to the Cloud project. Sent where it is given."},
    {.name = "customers",
     .value = Value::text_list,
     .help = "Customers by their numbers; left out: all enabled clients below login_customer_id, or all that the "
             "credential reaches."},
    {.name = "operations_per_day",
     .value = Value::integer,
     .help = "Operations that the project's access level grants in 24 hours: 2880 Explorer, 15000 Basic, 0 without "
             "limit (Standard). A query is one operation.",
     .fallback = "15000",
     .least = "0"},
    {.name = "method",
     .value = Value::choice,
     .help = "How rows are had: as one stream, or by pages of 10,000.",
     .fallback = "search_stream",
     .choices = methods},
    rate_limit_option,
    retry_option,
    {.name = "base_url",
     .value = Value::text,
     .help = "Where the API answers: a proxy or a test server.",
     .fallback = "https://googleads.googleapis.com"},
    {.name = "token_url",
     .value = Value::text,
     .help = "Where access tokens are had; left out: Google's, or the one in the service account's key."},
    {.name = "api_version", .value = Value::text, .help = "Version of the Google Ads API.", .fallback = "v26"},
    {.name = "ca_file", .value = Value::text, .help = "Certificate authorities to trust instead of the system's."},
};

// "123-456-7890" is how Google shows them.
std::string customer_digits(std::string_view option, const std::string& text) {
  auto digits = text;
  std::erase(digits, '-');
  if (!digits.empty() && digits.size() <= 10 && digits.find_first_not_of("0123456789") == std::string::npos)
    return digits;
  throw Error(Remedy::give_up,
              fmt::format("\"{}\": \"{}\" is no customer; expected its number, like \"1234567890\"", option, text));
}

// As digits. Throws Error(give_up).
std::vector<std::string> read_customers(const Settings& source) {
  std::vector<std::string> customers;
  for (const auto& text : source.texts("customers")) {
    auto digits = customer_digits("customers", text);
    if (std::find(customers.begin(), customers.end(), digits) != customers.end())
      throw Error(Remedy::give_up,
                  fmt::format("\"customers\": the customer {} stands there twice; remove one", digits));
    customers.push_back(std::move(digits));
  }
  if (customers.empty() && source.has("customers"))
    throw Error(Remedy::give_up,
                "\"customers\": it is empty: name some, or leave it out for all below login_customer_id");
  return customers;
}

// Paced so that a burst and a day together stay within what is granted.
RateLimit limit_of_operations(const RateLimit& usual, double per_day) {
  RateLimit limit = usual;
  limit.per_second = per_day * usual.target / (24 * 3600);
  limit.burst = std::max(1.0, per_day * (1 - usual.target));
  return limit;
}

// A user's three, or a service account.
void check_credentials(const Settings& source) {
  const bool account = source.has("service_account");
  if (!account && source.has("impersonated_email"))
    throw Error(Remedy::give_up, "impersonated_email goes with service_account alone; leave it out");
  for (const auto* name : {"client_id", "client_secret", "refresh_token"}) {
    if (account && source.has(name))
      throw Error(Remedy::give_up,
                  fmt::format("{} stands beside service_account: a source has one or the other", name));
    if (!account && !source.has(name))
      throw Error(
          Remedy::give_up,
          fmt::format("{} is missing; give client_id, client_secret and refresh_token, or service_account", name));
  }
}

}  // namespace

std::span<const Option> source_options() {
  return options;
}

GoogleApi::GoogleApi(const Settings& source, const ConnectorContext& context)
    : source_(source),
      context_(context),
      api_options_(read_api_options(source, context.source)),
      by_pages_(source.text("method") == "search"),
      version_(source.text("api_version")),
      probing_(context.executor, 1) {
  check_credentials(source);
  if (!source.refers("customers")) customers_ = read_customers(source);
  if (const auto per_day = source.integer("operations_per_day"); per_day > 0)
    api_options_.budgets.emplace(operations_bucket,
                                 limit_of_operations(api_options_.limit, static_cast<double>(per_day)));
}

void GoogleApi::open() {
  if (api_) return;
  base_ = base_url();
  while (base_.ends_with('/')) base_.pop_back();
  if (source_.has("login_customer_id"))
    login_ = customer_digits("login_customer_id", source_.text("login_customer_id"));
  if (source_.refers("customers")) customers_ = read_customers(source_);
  auto tokens = grant();
  auto* http = context_.http;
  if (http == nullptr) {
    HttpOptions http_options;
    if (source_.has("ca_file")) http_options.ca_file = source_.text("ca_file");
    own_http_ = make_http_client(context_.executor, context_.clock, http_options);
    http = own_http_.get();
  }
  std::optional<TextRef> developer_token;
  if (source_.has("developer_token")) developer_token = source_.reference("developer_token");
  // The quota is the Cloud project's, and that is known by its credential.
  api_options_.quotas = context_.quotas;
  if (source_.has("client_id"))
    api_options_.account = source_.text("client_id");
  else if (context_.quotas)
    api_options_.account = ServiceAccount::parse(source_.secret("service_account")).email;
  // Another access level is another quota.
  api_options_.account += fmt::format(" {}", source_.integer("operations_per_day"));
  dialect_ = std::make_unique<GoogleDialect>(*http, context_.clock, std::move(tokens), developer_token, version_);
  api_ = std::make_unique<Api>(api_options_, *http, *dialect_, context_.clock, context_.events, context_.rng);
}

// Secrets are resolved each time: a file may have been replaced meanwhile.
OAuthToken::Grant GoogleApi::grant() const {
  const auto url = source_.has("token_url") ? source_.text("token_url") : std::string();
  if (source_.has("service_account"))
    return [source = source_, url](Instant now) {
      auto account = ServiceAccount::parse(source.secret("service_account"));
      if (source.has("impersonated_email")) account.subject = source.text("impersonated_email");
      const auto own = account.token_url.empty() ? usual_token_url : account.token_url;
      const auto where = url.empty() ? own : url;
      return OAuthToken::Ask(where, assertion_form(account, std::string(scope), own, now));
    };
  return [source = source_, url](Instant) {
    Headers form;
    form.emplace_back("client_id", source.text("client_id"));
    form.emplace_back("client_secret", source.secret("client_secret").reveal());
    form.emplace_back("refresh_token", source.secret("refresh_token").reveal());
    form.emplace_back("grant_type", "refresh_token");
    return OAuthToken::Ask(url.empty() ? usual_token_url : url, std::move(form));
  };
}

const std::vector<std::string>& GoogleApi::customers() {
  open();
  return customers_;
}

const std::string& GoogleApi::login() {
  open();
  return login_;
}

ApiRequest GoogleApi::request(const char* method, const std::string& path, const std::string& customer,
                              const Caller& caller) const {
  HttpRequest http(method, fmt::format("{}/{}/{}", base_, version_, path));
  http.timeout = longest_silence;
  http.scope = customer;
  std::vector<std::string> buckets{project_bucket};
  if (!customer.empty()) {
    const auto through = managers_.find(customer);
    const auto& manager = through == managers_.end() ? login_ : through->second;
    if (!manager.empty()) http.headers.emplace_back("login-customer-id", manager);
    buckets.push_back(customer);
  }
  if (http.method == "POST") http.headers.emplace_back("Content-Type", "application/json");
  if (api_options_.budgets.contains(operations_bucket)) buckets.emplace_back(operations_bucket);
  ApiRequest request(std::move(http), std::move(buckets), caller.priority);
  request.slice = caller.slice;
  return request;
}

task<void> GoogleApi::stream(std::string customer, std::string query, Caller caller, BodyReader& reader) {
  open();
  auto asked = request("POST", fmt::format("customers/{}/googleAds:searchStream", customer), customer, caller);
  asked.http.body = json{{"query", query}}.dump();
  std::optional<ApiError> failure;
  try {
    co_await api_->stream(std::move(asked), reader);
  } catch (const ApiError& error) {
    failure = error;
  }
  if (failure) co_await fail(*failure);
}

task<HttpResponse> GoogleApi::search(std::string customer, std::string query, std::string page_token, Caller caller) {
  open();
  auto asked = request("POST", fmt::format("customers/{}/googleAds:search", customer), customer, caller);
  json body{{"query", query}};
  if (!page_token.empty()) {
    body["pageToken"] = page_token;
    std::erase(asked.buckets, operations_bucket);  // Google: the pages that follow are free
  }
  asked.http.body = body.dump();
  co_return co_await call(std::move(asked));
}

task<HttpResponse> GoogleApi::accessible() {
  open();
  Caller caller;
  auto asked = request("GET", "customers:listAccessibleCustomers", "", caller);
  co_return co_await call(std::move(asked));
}

task<HttpResponse> GoogleApi::fields(std::string query, std::string page_token) {
  open();
  Caller caller;
  auto asked = request("POST", "googleAdsFields:search", "", caller);
  json body{{"query", query}};
  if (!page_token.empty()) body["pageToken"] = page_token;
  asked.http.body = body.dump();
  co_return co_await call(std::move(asked));
}

task<int> GoogleApi::probe(std::string version) {
  open();
  auto* http = context_.http != nullptr ? context_.http : own_http_.get();
  HttpRequest request("GET", fmt::format("{}/{}/customers:listAccessibleCustomers", base_, version));
  const auto answer = co_await http->send(std::move(request));
  co_return answer.status;
}

task<std::string> GoogleApi::other_versions() {
  const auto permit = co_await probing_.acquire();
  const auto now = context_.clock.uptime();
  if (probed_until_ && now < *probed_until_) co_return others_;
  std::string alive;
  for (const std::string version : known_versions) {
    int status = 0;
    try {
      if (version != version_) status = co_await probe(version);
    } catch (const Error&) {
      // As good as dead to us.
    }
    if (status == version_lives) alive += (alive.empty() ? "" : ", ") + version;
  }
  others_ = alive.empty() ? "none of the others that sluice knows answers: check base_url and the network"
                          : "these answer: " + alive;
  probed_until_ = now + (alive.empty() ? no_versions_hold : versions_hold);
  co_return others_;
}

// Throws it again, and what else there is where the version has ended.
task<void> GoogleApi::fail(ApiError error) {
  if (error.reason() != reason::version) throw error;
  const auto others = co_await other_versions();
  throw ApiError(error.remedy(), error.reason(), fmt::format("{}; {}", error.what(), others), error.wait());
}

task<HttpResponse> GoogleApi::call(ApiRequest request) {
  std::optional<ApiError> failure;
  HttpResponse answer;
  try {
    answer = co_await api_->call(std::move(request));
  } catch (const ApiError& error) {
    failure = error;
  }
  if (failure) co_await fail(*failure);
  if (const auto theirs = date_of(answer)) ahead_ = context_.clock.now() - *theirs;
  co_return answer;
}

void GoogleApi::warn(const std::string& message) {
  Notice notice;
  notice.level = Level::warning;
  notice.source = context_.source;
  notice.message = fmt::format("{}: {}", context_.source, message);
  context_.events.emit(notice);
}

void GoogleApi::check_part(const std::string& part, const std::string& customer) {
  const auto verdict = dialect_->judge_part(part, customer);
  if (!verdict.error) return;
  if (!verdict.throttled_bucket.empty()) api_->throttled(verdict);
  // Rows have been handed on: what a new request could mend, the whole slice has to be read again for.
  const auto said = verdict.error->remedy();
  const bool again = said == Remedy::shrink || said == Remedy::reauthenticate || said == Remedy::slow_down;
  throw ApiError(again ? Remedy::retry : said, verdict.reason,
                 fmt::format("{}: in the middle of its rows the API gave: {}", context_.source, verdict.error->what()),
                 verdict.error->wait());
}

}  // namespace sluice::google
