#pragma once
#include "connectors/registry.hpp"

namespace sluice {

// Google's advertising API: customers, what they advertise with, and daily reports.
ConnectorKind google_ads();

}  // namespace sluice
