#include "connectors/registry.hpp"

#include "connectors/clevertap.hpp"
#include "connectors/facebook_ads.hpp"

namespace sluice {

std::span<const ConnectorKind> connector_kinds() {
  static const ConnectorKind kinds[] = {facebook_ads(), clevertap()};
  return kinds;
}

}  // namespace sluice
