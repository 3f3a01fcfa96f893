#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/settings.hpp"
#include "net/api.hpp"

namespace sluice {

// How Meta's Graph API is signed and how its answers are judged.
//
// Three reactions that are never mixed: back off (the quota is used up), shrink (too much was asked for), stop (a
// person has to do something). What may pass by itself is tried again.
class FacebookDialect final : public Dialect {
 public:
  // Secrets are resolved at first use, and again when the token is refused: its file may have been replaced meanwhile.
  FacebookDialect(TextRef access_token, std::optional<TextRef> app_secret, std::string api_version);

  void sign(HttpRequest& request) override;
  Verdict judge(const HttpRequest& request, const HttpResponse& response) const override;
  task<bool> renew() override;

  // What an error object means: of a reply, or put together from the fields of a failed report.
  Verdict judge_error(const nlohmann::json& error, int status, const std::string& bucket, bool of_report) const;
  // Takes out whatever could be a credential.
  std::string scrub(std::string text) const;

 private:
  bool resolve();

  TextRef token_ref_;
  std::optional<TextRef> secret_ref_;
  std::string api_version_;
  Secret token_, secret_;
  std::string proof_;
};

// Reasons of errors whose remedy does not say all.
namespace facebook_reason {
inline constexpr const char* no_access = "no_access";      // give_up_partition: the token may not read this object
inline constexpr const char* too_deep = "too_deep";        // shrink: too many pages; smaller ones do not help
inline constexpr const char* unexplained = "unexplained";  // retry: if it stays, mostly too much was asked for
}  // namespace facebook_reason

// The bucket of what counts against the app as a whole; an ad account's is "act_123".
inline constexpr const char* facebook_app_bucket = "app";

}  // namespace sluice
