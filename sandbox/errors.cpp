#include "sandbox/errors.hpp"

#include <nlohmann/json.hpp>

namespace sluice::sandbox {

std::string GraphError::to_json(std::string_view trace) const {
  nlohmann::ordered_json error;
  error["message"] = message;
  if (!bare) error["type"] = "OAuthException";
  error["code"] = code;
  if (subcode != 0) error["error_subcode"] = subcode;
  if (!bare) error["is_transient"] = transient;
  if (!user_title.empty()) error["error_user_title"] = user_title;
  if (!user_message.empty()) error["error_user_msg"] = user_message;
  if (!bare) error["fbtrace_id"] = trace;
  nlohmann::ordered_json whole;
  whole["error"] = std::move(error);
  return whole.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

GraphError bad_parameter(const std::string& text) {
  GraphError error;
  error.message = "(#100) " + text;
  return error;
}

GraphError no_such_object(const std::string& id) {
  GraphError error;
  error.subcode = 33;
  error.message = fmt::format(
      "Unsupported get request. Object with ID '{}' does not exist, cannot be loaded due to missing permissions, or "
      "does "
      "not support this operation. Please read the Graph API documentation at "
      "https://developers.facebook.com/docs/graph-api",
      id);
  return error;
}

GraphError unsupported_version() {
  GraphError error;
  error.code = 2635;
  error.message =
      "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: v26.0.";
  return error;
}

GraphError account_throttled(int code) {
  GraphError error;
  error.code = code;
  error.subcode = 2446079;
  error.message = code == 17 ? "(#17) User request limit reached"
                             : fmt::format(
                                   "(#{}) There have been too many calls from this ad-account. Wait a bit and "
                                   "try again.",
                                   code);
  error.user_title = "Ad Account Has Too Many API Calls";
  error.user_message = "There have been too many calls from this ad-account. Wait a bit and try again.";
  return error;
}

GraphError app_throttled() {
  GraphError error;
  error.status = 403;
  error.code = 4;
  error.message = "(#4) Application request limit reached";
  return error;
}

GraphError reduce_data() {
  GraphError error;
  error.status = 500;
  error.code = 1;
  error.bare = true;
  error.message = "Please reduce the amount of data you're asking for, then retry your request";
  return error;
}

GraphError too_many_rows() {
  GraphError error;
  error.subcode = 1487534;
  error.message = "(#100) Invalid parameter";
  error.user_title = "Too many rows";
  error.user_message = "There are too many rows in this report. Please reduce the time range or the breakdowns.";
  return error;
}

GraphError results_not_ready() {
  GraphError error;
  error.code = 2601;
  error.subcode = 1815107;
  error.message = "Error loading async ads report";
  error.user_title = "Loading Async Ads Report Failed";
  error.user_message = "Sorry, we are unable to load this report. Please try again.";
  error.transient = true;
  return error;
}

GraphError permission_missing() {
  GraphError error;
  error.status = 403;
  error.code = 200;
  error.message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission";
  return error;
}

}  // namespace sluice::sandbox
