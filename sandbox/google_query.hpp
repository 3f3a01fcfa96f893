#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.hpp"

namespace sluice::sandbox {

// What a simulated Google Ads query asks for.
struct GoogleQuery {
  struct Condition {
    std::string field, op;            // =, >=, <=, BETWEEN, IN
    std::vector<std::string> values;  // without their quotes
  };

  std::vector<std::string> fields;
  std::string from;
  std::vector<Condition> where;
  bool ordered = false;
  std::optional<std::int64_t> limit;

  // Throws GoogleError where the text is no query.
  static GoogleQuery parse(std::string_view text);
  // First and last day that segments.date is asked for; nothing where it is not.
  std::optional<std::pair<Day, Day>> days() const;
  const Condition* condition(std::string_view field, std::string_view op) const;
};

// A refusal as Google writes it.
struct GoogleError {
  int http = 400;
  std::string status = "INVALID_ARGUMENT";
  std::string kind, value;  // of the errorCode; empty: no GoogleAdsFailure
  std::string message = "Request contains an invalid argument.";
  std::string scope, delay;  // of quotaErrorDetails

  GoogleError() = default;
  GoogleError(std::string k, std::string v, std::string m)
      : kind(std::move(k)), value(std::move(v)), message(std::move(m)) {}
  std::string to_json() const;
};

}  // namespace sluice::sandbox
