#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/google_ads_dialect.hpp"
#include "connectors/registry.hpp"
#include "core/connector.hpp"
#include "net/api.hpp"

namespace sluice::google {

std::span<const Option> source_options();

// For which slice a request is, if any: then it is as urgent as that.
struct Caller {
  Priority priority = Priority::scheduled;
  Output* slice = nullptr;
  Caller() = default;
  explicit Caller(Output& out) : priority(out.priority()), slice(&out) {}
};

// As the API answers who does not say who he is.
inline constexpr int version_lives = 401;
inline constexpr int version_gone = 404;  // or not there yet

// The Google Ads API under one credential. Made without I/O: references resolve and the HTTP client is made at first
// use.
class GoogleApi {
 public:
  GoogleApi(const Settings& source, const ConnectorContext& context);

  // The rows that a query gives for a customer, as they come. Costs an operation.
  task<void> stream(std::string customer, std::string query, Caller caller, BodyReader& reader);
  // The same by pages; the first costs an operation.
  task<HttpResponse> search(std::string customer, std::string query, std::string page_token, Caller caller);
  // Resource names of the customers that the credential reaches by itself.
  task<HttpResponse> accessible();
  // Metadata of fields.
  task<HttpResponse> fields(std::string query, std::string page_token);
  // The HTTP status of a question without a credential: version_lives, or version_gone, or something in between.
  task<int> probe(std::string version);
  // What to say about which versions but the configured one are alive.
  task<std::string> other_versions();
  // Tells the log about something of the source that a person may want to look at.
  void warn(const std::string& message);

  std::string waiting_for() { return api_ ? api_->waiting_for() : std::string(); }
  // The customers that the file names, as digits; none: all below login().
  const std::vector<std::string>& customers();
  // login_customer_id as digits; empty: none.
  const std::string& login();
  // The customer is reached through that manager, not through login().
  void reach(const std::string& customer, const std::string& manager) { managers_[customer] = manager; }
  bool by_pages() const { return by_pages_; }
  const std::string& version() const { return version_; }
  // Of a part of an answer: throws when it is an error, or was not written by the API.
  void check_part(const std::string& part, const std::string& customer);
  Clock& clock() const { return context_.clock; }
  std::string base_url() const { return source_.text("base_url"); }
  // By Google's clock, as far as an answer has told it.
  Instant now() const { return context_.clock.now() - ahead_; }
  const asio::any_io_executor& executor() const { return context_.executor; }

 private:
  void open();
  ApiRequest request(const char* method, const std::string& path, const std::string& customer,
                     const Caller& caller) const;
  task<HttpResponse> call(ApiRequest request);
  task<void> fail(ApiError error);
  OAuthToken::Grant grant() const;

  Settings source_;
  ConnectorContext context_;
  ApiOptions api_options_;
  bool by_pages_;
  std::string version_;
  std::string base_, login_;
  std::vector<std::string> customers_;
  std::map<std::string, std::string> managers_;
  Semaphore probing_;
  std::string others_;
  std::optional<Duration> probed_until_;
  Duration ahead_{};  // our clock is, of Google's
  std::unique_ptr<HttpClient> own_http_;
  std::unique_ptr<GoogleDialect> dialect_;
  std::unique_ptr<Api> api_;
};

}  // namespace sluice::google
