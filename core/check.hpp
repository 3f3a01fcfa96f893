#pragma once
#include <optional>
#include <string>

#include "core/connector.hpp"
#include "core/time.hpp"

struct x509_st;

// What `check --connect` looks at wherever it connects.

namespace sluice {

// The two clocks, read at the same moment; a warning where they are more than a minute apart. `whose`: "Meta's".
std::optional<Finding> clock_finding(Instant ours, Instant theirs, const std::string& whose);

// When the certificate ends. Nothing where that cannot be read.
std::optional<Instant> end_of(const x509_st& certificate);
// A warning where the certificate ends within 30 days, an error where it has ended. `whose`: "api.example.com's".
std::optional<Finding> certificate_finding(Instant end, Instant now, const std::string& whose);

}  // namespace sluice
