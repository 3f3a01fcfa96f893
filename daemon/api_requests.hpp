#pragma once
#include <string>

#include "daemon/control.hpp"

namespace sluice {

// What bodies of POST requests ask for. Each throws Refusal(422) that names the field.

// Nothing: an empty body, or {}.
void expect_no_fields(const std::string& action, const std::string& body);
// The run of a backfill; empty where the pipeline's own run is meant.
std::string parse_cancel(const std::string& body);
BackfillRequest parse_backfill(const std::string& body);

}  // namespace sluice
