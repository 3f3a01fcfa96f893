#pragma once
#include "connectors/registry.hpp"

namespace sluice {

// CleverTap: events, profiles, counts of events, campaigns and their reports.
ConnectorKind clevertap();

}  // namespace sluice
