#pragma once
#include "sinks/registry.hpp"

namespace sluice {

// PostgreSQL: binary COPY into a stage, publishing in one fenced transaction.
SinkKind postgres_sink();

}  // namespace sluice
