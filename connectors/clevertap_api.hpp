#pragma once
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "connectors/clevertap_dialect.hpp"
#include "connectors/registry.hpp"
#include "net/api.hpp"
#include "net/in_flight.hpp"

namespace sluice::ct {

std::span<const Option> source_options();

// Of an answer that cannot be understood.
inline constexpr std::size_t most_kept = 4u << 20;

// Which of CleverTap's APIs a request is for, as the profile's `path.` and `method.` call it: each has a limit of its
// own on requests under way.
namespace family {
inline constexpr const char* events = "events";
inline constexpr const char* profiles = "profiles";
inline constexpr const char* counts = "event_counts";
inline constexpr const char* campaigns = "campaigns";
inline constexpr const char* reports = "campaign_report";
inline constexpr const char* schema = "schema";
}  // namespace family

// CleverTap's API of one account. Made without I/O: references resolve and the HTTP client is made at first use.
class CleverTapApi {
 public:
  CleverTapApi(const Settings& source, const ConnectorContext& context);

  // `path` begins with a slash and is sent byte for byte, its query too: a cursor comes percent-encoded already.
  // For a slice, `out` is its output; otherwise nullptr. What is still being made is waited for.
  task<HttpResponse> get(std::string family, std::string path, Output* out);
  // `body` is a JSON object; where the profile says GET for the family, its members go into the query.
  task<HttpResponse> ask_with(std::string family, std::string path, std::string body, Output* out);
  // An answer of a few members; without a body it is asked for by GET.
  task<nlohmann::json> ask(std::string family, std::string path, std::string body, Output* out);
  // Whether its status is the word of this entry.
  bool says_status(const nlohmann::json& answer, std::string_view entry) const;
  // Throws UnknownStructure where it does not say that all is well.
  void require_success(const nlohmann::json& answer, const std::string& path, const std::string& text) const;
  // Throws UnknownStructure about the answer's member `place`; `path` is what was asked for.
  [[noreturn]] void not_understood(const std::string& place, const std::string& path, const std::string& expected,
                                   const std::string& found, const std::string& answer) const;

  const ApiProfile& profile() const { return profile_; }
  const CleverTapDialect& dialect() const { return *dialect_; }
  std::string waiting_for() { return api_ ? api_->waiting_for() : std::string(); }
  const Zone& zone() const { return zone_; }
  Clock& clock() const { return context_.clock; }
  std::string base_url() const;
  std::int64_t page_size() const { return page_size_; }

 private:
  void open();
  const std::shared_ptr<Semaphore>& places(const std::string& family);
  ApiRequest request(const std::string& method, const std::string& family, const std::string& path, Output* out);
  task<HttpResponse> patiently(ApiRequest request, Output* out);
  task<HttpResponse> attempt(const ApiRequest& request, bool& in_progress);
  task<void> pause(Output* out);

  Settings source_;
  ConnectorContext context_;
  ApiOptions api_options_;
  ApiProfile profile_;
  Zone zone_;
  std::int64_t page_size_, in_flight_;
  std::string root_;
  std::map<std::string, std::shared_ptr<Semaphore>> families_;  // requests under way
  InFlightLimits alone_;                                        // where there is none of the process
  std::unique_ptr<HttpClient> own_http_;
  std::unique_ptr<CleverTapDialect> dialect_;
  std::unique_ptr<Api> api_;
};

// The member of an answer that the profile's entry names; null where there is none.
const nlohmann::json& member(const nlohmann::json& answer, const ApiProfile& profile, std::string_view entry);
// As text; never throws, whatever bytes are in it.
std::string dumped(const nlohmann::json& value);
// 20260801
std::int64_t day_number(Day day);

}  // namespace sluice::ct
