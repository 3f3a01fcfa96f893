#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "connectors/clevertap_profile.hpp"
#include "net/api.hpp"

namespace sluice::ct {

// What an answer means where the remedy does not say all: the connector asks differently, or leaves something out.
namespace reason {
inline constexpr const char* in_progress = "in_progress";                // ask for the same again in a moment
inline constexpr const char* cursor_dead = "cursor_dead";                // the export has to begin anew
inline constexpr const char* request_dead = "request_dead";              // the count has to be asked for anew
inline constexpr const char* export_not_allowed = "export_not_allowed";  // of this event, for ever
inline constexpr const char* no_result = "no_result";                    // the campaign has not been completed
}  // namespace reason

// How CleverTap's requests are signed and its answers judged. An answer with HTTP 200 may be a refusal.
class CleverTapDialect final : public Dialect {
 public:
  // The passcode is resolved at first use, and again when it is refused: its file may have been replaced meanwhile.
  CleverTapDialect(std::string account_id, TextRef passcode, const ApiProfile& profile)
      : account_id_(std::move(account_id)), passcode_ref_(std::move(passcode)), profile_(profile) {}

  void sign(HttpRequest& request) override;
  Verdict judge(const HttpRequest& request, const HttpResponse& response) const override;
  task<bool> renew() override;

  // What an answer that is JSON means; a large page only by its envelope.
  Verdict judge(const HttpRequest& request, int status, const nlohmann::json& answer) const;
  // A text of the other side, which may repeat what it was sent.
  std::string without_passcode(std::string text) const;

 private:
  struct Said;
  Said read(int status, const nlohmann::json& answer) const;
  std::string scrub(std::string text) const;

  std::string account_id_;
  TextRef passcode_ref_;
  Secret passcode_;
  const ApiProfile& profile_;
};

}  // namespace sluice::ct
