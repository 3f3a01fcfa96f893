#include "sandbox/sandbox.hpp"

#include <openssl/hmac.h>

#include <nlohmann/json.hpp>

#include "core/read_json.hpp"
#include "sandbox/errors.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

// Only what graph.facebook.com still served for ads at the end of 2026.
constexpr std::string_view kGraphVersions[] = {"v25.0", "v26.0"};

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) out.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return out;
}

std::string without_token(const Params& params) {
  std::string out;
  for (const auto& [name, value] : params.all())
    if (name != "access_token" && name != "appsecret_proof")
      out += fmt::format("{}{}={}", out.empty() ? "?" : "&", name, value);
  return out;
}

GraphError auth_error(int subcode, const std::string& message) {
  GraphError error;
  error.code = 190;
  error.subcode = subcode;
  error.message = message;
  return error;
}

GraphError plain_error(int status, int code, const std::string& message, bool transient) {
  GraphError error;
  error.status = status;
  error.code = code;
  error.message = message;
  error.transient = transient;
  return error;
}

std::string proof_of(const std::string& secret, const std::string& token) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest, &size);
  std::string out;
  for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

Reply plain(int status, std::string_view type, std::string body) {
  Reply reply;
  reply.status = status;
  reply.headers.emplace_back("content-type", type);
  reply.body = std::move(body);
  return reply;
}

bool is_batch_entry(const nlohmann::json& entry) {
  if (!entry.is_object()) return false;
  return std::ranges::all_of(std::array{"method", "relative_url", "body"},
                             [&](const char* name) { return !entry.contains(name) || entry[name].is_string(); });
}

std::int64_t default_quota(const Options& options) {
  if (options.quota > 0) return options.quota;
  return options.rows_per_day > 0 ? 1'000'000'000 : 9'000;  // Meta: 9,000 in five minutes with full access
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

Sandbox::Sandbox(const Options& options, Clock& clock)
    : options_(options),
      clock_(clock),
      world_(options),
      reports_(world_, faults_, clock, options.report_delay),
      graph_(world_, reports_, faults_, options.rows_per_day > 0),
      clevertap_(options, faults_),
      google_(world_, faults_),
      usage_(clock, default_quota(options)) {
  for (const auto& fault : options.faults) faults_.add(fault);
  if (options.today) fixed_now_ = start_of(*options.today, utc()) + std::chrono::hours(12);
}

Reply Sandbox::handle(const Request& request) {
  const std::string_view target = request.target;
  const auto mark = target.find('?');
  const auto path = std::string(target.substr(0, mark));
  const auto query = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  if (path.starts_with("/sandbox/")) return control(request, path, query);
  ++counters_.total;
  ++counters_.requests[{request.method, path}];
  auto reply = CleverTapApi::owns(path) ? clevertap(request, path, query)
               : Google::serves(path)   ? google(request, path)
                                        : graph(request, path, query);
  ++counters_.statuses[reply.status];
  counters_.body_bytes += static_cast<std::int64_t>(reply.body.size());
  if (reply.more)
    reply.more = [this, more = std::move(reply.more)](std::string& piece) {
      const auto before = piece.size();
      const bool any = more(piece);
      counters_.body_bytes += static_cast<std::int64_t>(piece.size() - before);
      return any;
    };
  return reply;
}

Reply Sandbox::google(const Request& request, const std::string& path) {
  const auto subject = fmt::format("{} {}", request.method, path);
  if (auto broken = broken_reply(subject)) return *broken;
  auto reply = google_.answer(request, path, subject, now());
  spoil(subject, reply);
  return reply;
}

Reply Sandbox::graph(const Request& request, const std::string& path, std::string_view query) {
  Call call;
  call.method = request.method;
  call.base = fmt::format("http://{}", request.header("host"));
  call.path = split_path(path);
  if (!call.path.empty()) {
    call.version = call.path.front();
    call.path.erase(call.path.begin());
  }
  try {
    call.params.add_form(query);
    if (call.params.has("access_token")) ++counters_.token_in_query;
    if (!request.body.empty()) {
      if (request.header("content-type").starts_with("application/json"))
        call.params.add_json(request.body);
      else
        call.params.add_form(request.body);
    }
    call.subject = fmt::format("{} {}{}", request.method, path, without_token(call.params));
    if (auto broken = broken_reply(call.subject)) return *broken;
    authenticate(request, call);
  } catch (const GraphError& error) {
    auto reply = plain(error.status, "application/json; charset=UTF-8", error.to_json("AbcSandboxTrace0000"));
    reply.headers.emplace_back("www-authenticate",
                               fmt::format(R"(OAuth "Facebook Platform" "invalid_token" "{}")", error.message));
    for (auto& header : usage_headers(call.subject, {})) reply.headers.push_back(std::move(header));
    return reply;
  }
  auto reply = call.path.empty() && call.params.has("batch") ? batch(call) : call_one(call);
  spoil(call.subject, reply);
  return reply;
}

Reply Sandbox::clevertap(const Request& request, const std::string& path, std::string_view query) {
  CleverTapApi::Call call;
  call.method = request.method;
  call.path = path;
  call.query = query;
  call.body = request.body;
  call.account = request.header("x-clevertap-account-id");
  call.passcode = request.header("x-clevertap-passcode");
  call.subject = fmt::format("{} {} {}", request.method, request.target, request.body);
  if (auto broken = broken_reply(call.subject)) return *broken;
  auto answer = clevertap_.answer(call, now());
  auto reply = plain(answer.status, "application/json", std::move(answer.body));
  spoil(call.subject, reply);
  return reply;
}

void Sandbox::authenticate(const Request& request, Call& call) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto header = request.header("authorization");
  const auto token =
      header.starts_with(kBearer) ? std::string(header.substr(kBearer.size())) : call.params.get("access_token");
  if (token.empty())
    throw plain_error(400, 2500, "An active access token must be used to query information about the current user.",
                      false);
  if (token != options_.token) throw auth_error(0, "Invalid OAuth access token - Cannot parse access token");
  check_proof(call.params);
}

void Sandbox::check_proof(Params& params) {
  if (options_.app_secret.empty()) return;
  if (!params.has("appsecret_proof"))
    throw bad_parameter("API calls from the server require an appsecret_proof argument");
  if (params.get("appsecret_proof") != proof_of(options_.app_secret, options_.token))
    throw bad_parameter("Invalid appsecret_proof provided in the API argument");
  params.erase("appsecret_proof");
}

Reply Sandbox::call_one(const Call& call) {
  Concern concern;
  pretence_.reset();
  Reply reply;
  try {
    reply = plain(200, "application/json; charset=UTF-8", execute(call, concern));
  } catch (const GraphError& error) {
    const auto trace = fmt::format("A{:x}", hash_of(world_.seed(), counters_.total, call.subject.size()));
    reply = plain(error.status, "application/json; charset=UTF-8", error.to_json(trace));
    reply.headers.emplace_back("www-authenticate",
                               fmt::format(R"(OAuth "Facebook Platform" "invalid_request" "{}")", error.message));
  }
  usage_.count(concern.account);
  for (auto& header : usage_headers(call.subject, concern)) reply.headers.push_back(std::move(header));
  const auto upgraded = faults_.strikes("upgraded_version", call.subject);
  reply.headers.emplace_back("facebook-api-version", !upgraded           ? call.version
                                                     : upgraded->empty() ? "v27.0"
                                                                         : *upgraded);
  if (faults_.strikes("version_warning", call.subject))
    reply.headers.emplace_back(
        "x-ad-api-version-warning",
        fmt::format("The call has been auto-upgraded to v26.0 as {} will be deprecated.", call.version));
  return reply;
}

std::string Sandbox::execute(const Call& call, Concern& concern) {
  if (std::ranges::find(kGraphVersions, call.version) == std::end(kGraphVersions)) throw unsupported_version();
  if (!call.path.empty() && call.path.front().starts_with("act_"))
    if (const auto id = to_int(std::string_view(call.path.front()).substr(4))) concern.account = world_.account(*id);
  concern.insights = !call.path.empty() && call.path.back() == "insights";
  refuse_by_fault(call, concern);
  if (options_.enforce_quota && concern.account != nullptr && usage_.exhausted(*concern.account))
    throw account_throttled(17);
  return graph_.answer(call, now(), concern);
}

void Sandbox::refuse_by_fault(const Call& call, const Concern& concern) {
  const auto strikes = [&](std::string_view name) { return faults_.strikes(name, call.subject); };
  const auto regain = [](const std::string& arg) { return static_cast<int>(to_int(arg).value_or(1)); };
  if (const auto arg = strikes("throttle")) {
    pretence_ = Usage::Pretence{118, regain(*arg)};
    throw account_throttled(17);
  }
  if (const auto arg = strikes("buc_throttle")) {
    pretence_ = Usage::Pretence{104, regain(*arg)};
    throw account_throttled(concern.insights ? 80000 : 80004);
  }
  if (strikes("app_throttle")) throw app_throttled();
  if (strikes("http500")) throw plain_error(500, 2, "Service temporarily unavailable", true);
  if (strikes("unknown_error")) throw plain_error(500, 1, "An unknown error occurred", false);
  if (strikes("expired_version")) throw unsupported_version();
  if (strikes("expired_token"))
    throw auth_error(463, "Error validating access token: Session has expired on Sunday, 01-Mar-26 04:00:00 PST.");
  if (strikes("invalid_token"))
    throw auth_error(460,
                     "Error validating access token: The session has been invalidated because the user changed their "
                     "password or Facebook has changed the session for security reasons.");
}

// What stands before the API: load balancers and broken networks.
std::optional<Reply> Sandbox::broken_reply(const std::string& subject) {
  Reply silence;
  silence.ending = Reply::Ending::hang;
  if (faults_.strikes("hang", subject)) return silence;
  silence.ending = Reply::Ending::reset;
  if (faults_.strikes("reset", subject)) return silence;
  if (faults_.strikes("html", subject))
    return plain(200, "text/html", "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>");
  if (faults_.strikes("garbage", subject)) return plain(200, "application/json", "\x1f\x00{\"data\":[{\"id\":");
  if (faults_.strikes("empty", subject)) return plain(200, "application/json", "");
  if (faults_.strikes("unavailable_text", subject)) return plain(200, "text/plain", "Service Unavailable");
  if (faults_.strikes("http503", subject)) return plain(503, "text/plain", "Service Unavailable");
  if (const auto where = faults_.strikes("redirect", subject)) {
    auto reply = plain(302, "text/html", "");
    reply.headers.emplace_back("location", where->empty() ? "http://127.0.0.1:1/elsewhere" : *where);
    return reply;
  }
  return std::nullopt;
}

void Sandbox::spoil(const std::string& subject, Reply& reply) {
  if (faults_.strikes("truncated", subject)) reply.ending = Reply::Ending::truncated;
  if (const auto seconds = faults_.strikes("slow", subject)) {
    reply.ending = Reply::Ending::slow;
    reply.slowly = std::chrono::seconds(to_int(*seconds).value_or(5));
  }
}

HeaderList Sandbox::usage_headers(const std::string& subject, const Concern& concern) {
  const bool strings = faults_.strikes("string_usage", subject).has_value();
  if (!pretence_)
    if (const auto percent = faults_.strikes("usage", subject))
      pretence_ = Usage::Pretence{static_cast<double>(to_int(*percent).value_or(90)), 0};
  auto headers = usage_.headers(concern.account, concern.insights, pretence_ ? &*pretence_ : nullptr, strings);
  pretence_.reset();
  return headers;
}

Reply Sandbox::batch(const Call& call) {
  const auto calls = read_json(call.params.get("batch"));
  const bool well_formed = calls.is_array() && std::ranges::all_of(calls, is_batch_entry);
  if (!well_formed || calls.size() > 50) {
    const auto error = bad_parameter(well_formed ? "Too many requests in batch message. Maximum batch size is 50"
                                                 : "param batch must be an array of calls.");
    return plain(error.status, "application/json; charset=UTF-8", error.to_json("AbcSandboxBatch0000"));
  }
  auto answers = nlohmann::ordered_json::array();
  for (const auto& one : calls) {
    ++counters_.batch_calls;
    const auto relative = one.value("relative_url", "");
    const auto mark = relative.find('?');
    Call sub;
    sub.method = one.value("method", "GET");
    sub.version = call.version;
    sub.base = call.base;
    sub.path = split_path(relative.substr(0, mark));
    if (!sub.path.empty() && std::ranges::find(kGraphVersions, sub.path.front()) != std::end(kGraphVersions)) {
      sub.version = sub.path.front();
      sub.path.erase(sub.path.begin());
    }
    if (mark != std::string::npos) sub.params.add_form(relative.substr(mark + 1));
    if (one.contains("body")) sub.params.add_form(one.value("body", ""));
    sub.subject =
        fmt::format("{} /{}/{}{}", sub.method, sub.version, fmt::join(sub.path, "/"), without_token(sub.params));
    if (faults_.strikes("batch_null", sub.subject)) {
      answers.push_back(nullptr);
      continue;
    }
    auto reply = call_one(sub);
    nlohmann::ordered_json answer;
    answer["code"] = reply.status;
    answer["headers"] = nlohmann::ordered_json::array();
    for (const auto& [name, value] : reply.headers) {
      nlohmann::ordered_json header;
      header["name"] = name;
      header["value"] = value;
      answer["headers"].push_back(std::move(header));
    }
    answer["body"] = std::move(reply.body);
    answers.push_back(std::move(answer));
  }
  auto reply = plain(200, "application/json; charset=UTF-8",
                     answers.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  for (auto& header : usage_headers(call.subject, {})) reply.headers.push_back(std::move(header));
  reply.headers.emplace_back("facebook-api-version", call.version);
  return reply;
}

}  // namespace sluice::sandbox
