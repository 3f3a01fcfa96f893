#pragma once
#include "sinks/postgres_load.hpp"

namespace sluice {

// Sink::prune, in statements of a thousand rows that each commit by themselves.
task<std::int64_t> prune_postgres(PostgresCore& core, Instant before);

}  // namespace sluice
