#include "daemon/options.hpp"

namespace sluice {

Kinds built_in_kinds() {
  return {connector_kinds(), sink_kinds()};
}

}  // namespace sluice
