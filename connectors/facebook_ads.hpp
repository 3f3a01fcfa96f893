#pragma once
#include "connectors/registry.hpp"

namespace sluice {

// Meta's Marketing API: accounts, campaigns, ad sets, ads, creatives and insights.
ConnectorKind facebook_ads();

}  // namespace sluice
