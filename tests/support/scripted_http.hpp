#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "net/http.hpp"

namespace sluice::test {

// What a test asks of a request that was made.
std::string path_of(const HttpRequest& request);
// A parameter of the query or of a form body, decoded.
std::optional<std::string> parameter(const HttpRequest& request, std::string_view name);
// A header by its name, in any case.
std::optional<std::string> header(const HttpRequest& request, std::string_view name);

// What the script expects and what it answers: `http.expect("GET /me/adaccounts").with("after", "x").reply(200, body)`.
// Without a word about the answer it is an empty 200.
class Expectation {
 public:
  explicit Expectation(std::string line) : line_(std::move(line)) {}

  // A parameter of the query or form that must have this value; `without`: that must not be there.
  Expectation& with(std::string name, std::string value);
  Expectation& without(std::string name);
  Expectation& with_header(std::string name, std::string value);
  Expectation& with_body(std::string text);
  // Anything else about the request.
  Expectation& where(std::function<bool(const HttpRequest&)> holds);

  Expectation& reply(int status, std::string body = {}, Headers headers = {});
  Expectation& fail(HttpError error);
  // Nothing ever comes: the request ends by its own deadline, or by cancellation.
  Expectation& hang();
  // The body breaks off after that many bytes.
  Expectation& cut_after(std::size_t bytes);
  Expectation& after(Duration delay);
  // How often it is asked for; once without a word.
  Expectation& times(int count);

 private:
  friend class ScriptedHttp;
  bool matches(const HttpRequest& request) const;

  std::string line_;
  std::vector<std::function<bool(const HttpRequest&)>> conditions_;
  std::string described_;
  HttpResponse response_{200, {}, {}};
  std::optional<HttpError> error_;
  std::optional<std::size_t> cut_;
  Duration delay_{};
  int left_ = 1;
};

// An HttpClient that plays a script, in virtual time. Expectations are met in their order, or in any (`in_any_order`).
// A request that nobody expects goes to the function given to `answer_with`; without one it fails the test
// (std::logic_error, and `everything_seen` stays false).
class ScriptedHttp final : public HttpClient {
 public:
  explicit ScriptedHttp(Clock& clock) : clock_(clock) {}

  struct Seen {
    HttpRequest request;
    Duration at;  // Clock::uptime
  };

  // "GET /v26.0/me/adaccounts": method and path, without the query.
  Expectation& expect(std::string method_and_path);
  void in_any_order() { any_order_ = true; }
  // A whole API in one function. It may throw HttpError.
  void answer_with(std::function<HttpResponse(const HttpRequest&)> answer) { answer_ = std::move(answer); }
  // How long every answer takes that does not say it itself.
  void latency(Duration d) { latency_ = d; }
  // Bytes of a streamed piece.
  void piece_size(std::size_t bytes) { piece_size_ = bytes; }

  const std::vector<Seen>& requests() const { return requests_; }
  // "GET /path" of every request, in order.
  std::vector<std::string> lines() const;
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }
  // Every expectation was met and nothing else was asked.
  bool everything_seen() const;
  // What is missing and what was not expected, for INFO().
  std::string report() const;

  task<HttpResponse> send(HttpRequest request) override;
  task<void> stream(HttpRequest request, BodyReader& reader) override;

 private:
  struct Answer {
    HttpResponse response;
    std::optional<HttpError> error;
    std::optional<std::size_t> cut;
    Duration delay{};
  };
  Answer answer(const HttpRequest& request);
  task<Answer> exchange(HttpRequest request);

  Clock& clock_;
  std::deque<Expectation> expectations_;
  std::function<HttpResponse(const HttpRequest&)> answer_;
  std::vector<Seen> requests_;
  std::vector<std::string> unexpected_;
  Duration latency_{};
  std::size_t piece_size_ = 4096;
  bool any_order_ = false;
  int in_flight_ = 0, most_in_flight_ = 0;
};

}  // namespace sluice::test
