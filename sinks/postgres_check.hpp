#pragma once
#include <vector>

#include "sinks/postgres_load.hpp"

namespace sluice {

// Sink::check: every finding names what is wrong and the statement or setting that puts it right.
task<std::vector<Finding>> check_postgres(PostgresCore& core, std::vector<std::string> tables);

}  // namespace sluice
