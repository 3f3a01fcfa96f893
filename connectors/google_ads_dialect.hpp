#pragma once
#include <functional>
#include <optional>
#include <string>

#include "core/settings.hpp"
#include "net/api.hpp"
#include "net/oauth.hpp"

namespace sluice::google {

// The bucket of the Cloud project; each customer has one of its own, called by its number.
inline constexpr const char* project_bucket = "project";
// Operations of 24 hours: what the access level grants.
inline constexpr const char* operations_bucket = "operations";

// Verdict::reason of errors that the connector tells apart.
namespace reason {
inline constexpr const char* no_access = "no_access";            // to this customer: the others go on
inline constexpr const char* customer_quota = "customer_quota";  // of this customer, used up for long
inline constexpr const char* project_quota = "project_quota";    // of the whole project, used up for long
inline constexpr const char* stale_page = "stale_page";          // the page token has ended
inline constexpr const char* version = "version";                // of the API: it has ended, or is not there yet
}  // namespace reason

// How the Google Ads API is signed and how its answers are judged.
class GoogleDialect final : public Dialect {
 public:
  // `grant` asks for access tokens; the developer token, if any, is resolved with each of them.
  GoogleDialect(HttpClient& http, Clock& clock, OAuthToken::Grant grant, std::optional<TextRef> developer_token,
                std::string api_version);

  void sign(HttpRequest& request) override;
  Verdict judge(const HttpRequest& request, const HttpResponse& response) const override;
  bool due() const override { return token_.due(); }
  task<bool> renew() override;

  // What a part of a good answer means that holds an error instead of rows: {"error":{…}}. Nothing where it does not.
  Verdict judge_part(const std::string& part, const std::string& customer) const;
  // Without what is secret.
  std::string scrub(std::string text) const;

 private:
  Verdict no_answer(const std::string& body) const;
  OAuthToken token_;
  std::optional<TextRef> developer_ref_;
  Secret developer_token_;
  std::string api_version_;
};

}  // namespace sluice::google
