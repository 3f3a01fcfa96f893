#include "tests/support/scripted_http.hpp"

#include <algorithm>
#include <cctype>

namespace sluice::test {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<std::string> find_in(std::string_view form, std::string_view name) {
  while (!form.empty()) {
    const auto pair = form.substr(0, form.find('&'));
    const auto equals = pair.find('=');
    if (decode(pair.substr(0, equals)) == name)
      return equals == pair.npos ? std::string() : decode(pair.substr(equals + 1));
    form.remove_prefix(std::min(form.size(), pair.size() + 1));
  }
  return {};
}

std::string_view target_of(const HttpRequest& request) {
  std::string_view url = request.url;
  const auto host = url.find("://");
  if (host != url.npos) url.remove_prefix(host + 3);
  const auto slash = url.find_first_of("/?");
  return slash == url.npos ? std::string_view("/") : url.substr(slash);
}

std::string line_of(const HttpRequest& request) {
  return request.method + " " + path_of(request);
}

std::string full_line_of(const HttpRequest& request) {
  std::string line = request.method + " " + std::string(target_of(request));
  if (!request.body.empty()) line += " with body " + request.body.substr(0, 500);
  return line;
}

}  // namespace

std::string path_of(const HttpRequest& request) {
  const auto target = target_of(request);
  return std::string(target.substr(0, target.find('?')));
}

std::optional<std::string> parameter(const HttpRequest& request, std::string_view name) {
  const auto target = target_of(request);
  const auto mark = target.find('?');
  if (mark != target.npos)
    if (auto found = find_in(target.substr(mark + 1), name)) return found;
  const auto type = header(request, "content-type");
  if (type && type->starts_with("application/x-www-form-urlencoded")) return find_in(request.body, name);
  return {};
}

std::optional<std::string> header(const HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers)
    if (lower(key) == lower(name)) return value;
  return {};
}

Expectation& Expectation::with(std::string name, std::string value) {
  described_ += " with " + name + "=" + value;
  return where([name, value](const HttpRequest& request) { return parameter(request, name) == value; });
}

Expectation& Expectation::without(std::string name) {
  described_ += " without " + name;
  return where([name](const HttpRequest& request) { return !parameter(request, name); });
}

Expectation& Expectation::with_header(std::string name, std::string value) {
  described_ += " with header " + name + ": " + value;
  return where([name, value](const HttpRequest& request) { return header(request, name) == value; });
}

Expectation& Expectation::with_body(std::string text) {
  described_ += " with body " + text;
  return where([text](const HttpRequest& request) { return request.body == text; });
}

Expectation& Expectation::where(std::function<bool(const HttpRequest&)> holds) {
  conditions_.push_back(std::move(holds));
  return *this;
}

Expectation& Expectation::reply(int status, std::string body, Headers headers) {
  for (auto& [name, value] : headers) name = lower(name);
  response_ = HttpResponse(status, std::move(headers), std::move(body));
  return *this;
}

Expectation& Expectation::fail(HttpError error) {
  error_ = std::move(error);
  return *this;
}

Expectation& Expectation::hang() {
  return after(Duration::max());
}

Expectation& Expectation::cut_after(std::size_t bytes) {
  cut_ = bytes;
  return *this;
}

Expectation& Expectation::after(Duration delay) {
  delay_ = delay;
  return *this;
}

Expectation& Expectation::times(int count) {
  left_ = count;
  return *this;
}

bool Expectation::matches(const HttpRequest& request) const {
  return line_of(request) == line_ &&
         std::all_of(conditions_.begin(), conditions_.end(), [&](const auto& holds) { return holds(request); });
}

Expectation& ScriptedHttp::expect(std::string method_and_path) {
  return expectations_.emplace_back(std::move(method_and_path));
}

std::vector<std::string> ScriptedHttp::lines() const {
  std::vector<std::string> out;
  for (const auto& seen : requests_) out.push_back(line_of(seen.request));
  return out;
}

bool ScriptedHttp::everything_seen() const {
  return unexpected_.empty() &&
         std::all_of(expectations_.begin(), expectations_.end(), [](const auto& e) { return e.left_ <= 0; });
}

std::string ScriptedHttp::report() const {
  std::string out;
  for (const auto& e : expectations_)
    if (e.left_ > 0) out += "not seen: " + e.line_ + e.described_ + "\n";
  for (const auto& line : unexpected_) out += "not expected: " + line + "\n";
  return out;
}

ScriptedHttp::Answer ScriptedHttp::answer(const HttpRequest& request) {
  for (auto& e : expectations_) {
    if (e.left_ <= 0) continue;
    if (e.matches(request)) {
      --e.left_;
      return {e.response_, e.error_, e.cut_, std::max(e.delay_, latency_)};
    }
    if (!any_order_ && !answer_) break;
  }
  if (!answer_) {
    unexpected_.push_back(full_line_of(request));
    throw std::logic_error("ScriptedHttp: " + report());
  }
  Answer result;
  result.delay = latency_;
  try {
    result.response = answer_(request);
    for (auto& [name, value] : result.response.headers) name = lower(name);
  } catch (const HttpError& error) {
    result.error = error;
  }
  return result;
}

task<ScriptedHttp::Answer> ScriptedHttp::exchange(HttpRequest request) {
  struct InFlight {
    int& count;
    explicit InFlight(int& c) : count(c) { ++count; }
    ~InFlight() { --count; }
  };
  const InFlight counted(in_flight_);
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
  Seen seen{request, clock_.uptime()};
  requests_.push_back(std::move(seen));
  Answer result = answer(request);
  const auto wait = std::min(result.delay, request.timeout);
  if (wait > Duration::zero()) co_await clock_.sleep_for(wait);
  if (result.delay > request.timeout)
    throw HttpError(Remedy::retry, "timeout", "no answer within " + format_duration(request.timeout));
  if (result.error) throw HttpError(*result.error);
  co_return result;
}

task<HttpResponse> ScriptedHttp::send(HttpRequest request) {
  Answer result = co_await exchange(std::move(request));
  if (result.cut) throw HttpError(Remedy::retry, "reset", "the body broke off");
  co_return std::move(result.response);
}

task<void> ScriptedHttp::stream(HttpRequest request, BodyReader& reader) {
  Answer result = co_await exchange(std::move(request));
  std::string body;
  body.swap(result.response.body);
  reader.begin(result.response);
  const auto whole = std::min(body.size(), result.cut.value_or(body.size()));
  for (std::size_t at = 0; at < whole; at += piece_size_) {
    const auto size = std::min(piece_size_, whole - at);
    co_await reader.piece(std::string_view(body).substr(at, size));
  }
  if (result.cut) throw HttpError(Remedy::retry, "reset", "the body broke off");
}

}  // namespace sluice::test
