#pragma once
#include "sinks/registry.hpp"

namespace sluice {

// SQLite: one file, WAL, all calls on a worker thread.
SinkKind sqlite_sink();

}  // namespace sluice
