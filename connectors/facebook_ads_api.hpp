#pragma once
#include <memory>
#include <optional>
#include <string>

#include "connectors/facebook_ads_dialect.hpp"
#include "connectors/facebook_ads_enumerations.hpp"
#include "connectors/registry.hpp"
#include "core/row_mapper.hpp"
#include "net/api.hpp"

namespace sluice::facebook {

struct ReportOptions {
  DurationRange poll;
  Duration start_timeout{}, stall_timeout{}, timeout{};
  std::int64_t concurrency = 1;
};

std::span<const Option> source_options();

// Whom a request is about, and for which slice it is, if any: then it is as urgent as that.
struct Caller {
  std::string account;  // its digits; empty: the app as a whole
  Priority priority = Priority::scheduled;
  Output* slice = nullptr;
  explicit Caller(std::string a) : account(std::move(a)) {}
  Caller(std::string a, Output& out) : account(std::move(a)), priority(out.priority()), slice(&out) {}
};

// The Graph API under one access token. Made without I/O: references resolve and the HTTP client is made at first use.
class GraphApi {
 public:
  GraphApi(const Settings& source, const ConnectorContext& context);

  // `node` is what stands behind the version: "act_1/campaigns". The token never gets into a URL.
  task<HttpResponse> get(std::string node, Headers parameters, Caller caller);
  task<HttpResponse> post(std::string node, Headers parameters, Caller caller);
  // A report failed because the quota is used up: pauses the bucket as if a call had been refused.
  void throttled(const Verdict& verdict);

  std::string waiting_for() { return api_ ? api_->waiting_for() : std::string(); }
  // The accounts that the file names, as digits; none: all that the token can read.
  const std::vector<std::string>& accounts();
  std::int64_t page_size() const { return page_size_; }
  const ReportOptions& reports() const { return reports_; }
  const FacebookDialect& dialect() const { return *dialect_; }
  Clock& clock() const { return context_.clock; }
  std::string base_url() const { return source_.text("base_url"); }
  // By Meta's clock, as far as an answer has told it.
  Instant now() const { return context_.clock.now() - ahead_; }
  const asio::any_io_executor& executor() const { return context_.executor; }

 private:
  void open();
  ApiRequest request(const char* method, const std::string& node, const Caller& caller) const;
  task<HttpResponse> call(ApiRequest request);

  Settings source_;
  ConnectorContext context_;
  ApiOptions api_options_;
  ReportOptions reports_;
  std::int64_t page_size_;
  std::string root_;  // base_url and version
  std::vector<std::string> accounts_;
  Duration ahead_{};  // our clock is, of Meta's
  std::unique_ptr<HttpClient> own_http_;
  std::unique_ptr<FacebookDialect> dialect_;
  std::unique_ptr<Api> api_;
};

// Walks the pages of an edge: Meta's word for the list of what belongs to an object, like act_1/campaigns. Pages shrink
// to half as often as the API finds them too large, and grow back slowly.
class EdgeWalk {
 public:
  EdgeWalk(GraphApi& api, RowMapper& mapper, std::string node, Headers parameters, Caller caller);

  // The next page, or nothing. Throws ApiError(shrink) when even a page of one row is too large, and at once when the
  // edge has more pages than the API walks (facebook_reason::too_deep).
  task<std::optional<MappedPage>> next();

 private:
  task<std::optional<HttpResponse>> ask();
  void turn(const std::string& envelope);

  GraphApi& api_;
  RowMapper& mapper_;
  std::string node_;
  Headers parameters_;
  Caller caller_;
  std::int64_t limit_;
  int good_pages_ = 0;  // since limit_ changed
  std::string after_;
  bool done_ = false;
  PageGuard guard_;
};

// The next page of a list of objects or accounts. Throws Error(retry) when even a page of one row is too large: Meta
// refuses such a page now and then, for no reason that lasts.
task<std::optional<MappedPage>> next_page(EdgeWalk& walk);
// Throws Error(retry) when a row of the node's list could not be read: where rows say what there is to read, one that
// is left out would be missed silently.
void refuse_rejects(const Batch& batch, const std::string& node);

// A `filtering` parameter: conditions joined by AND.
class Filters {
 public:
  // The object's status is any: without it, archived and deleted objects are left out.
  void any_status(Level level);
  void ids(Level level, const std::vector<std::string>& ids);
  void updated_after(Level level, std::int64_t unix_seconds);
  void updated_before(Level level, std::int64_t unix_seconds);
  bool empty() const { return text_.empty(); }
  std::string text() const { return "[" + text_ + "]"; }

 private:
  void add(Level level, const char* field, const char* op, const std::string& value);
  std::string text_;
};

}  // namespace sluice::facebook
