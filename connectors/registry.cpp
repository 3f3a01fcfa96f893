#include "connectors/registry.hpp"

#include "connectors/clevertap.hpp"
#include "connectors/facebook_ads.hpp"
#include "connectors/google_ads.hpp"

namespace sluice {

std::span<const ConnectorKind> connector_kinds() {
  static const ConnectorKind kinds[] = {facebook_ads(), google_ads(), clevertap()};
  return kinds;
}

}  // namespace sluice
