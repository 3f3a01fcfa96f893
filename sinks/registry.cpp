#include "sinks/registry.hpp"

#include "sinks/postgres.hpp"
#include "sinks/sqlite.hpp"

namespace sluice {

std::span<const SinkKind> sink_kinds() {
  static const SinkKind kinds[] = {postgres_sink(), sqlite_sink()};
  return kinds;
}

}  // namespace sluice
