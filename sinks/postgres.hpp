#pragma once
#include "core/secret.hpp"
#include "sinks/registry.hpp"

namespace sluice {

// PostgreSQL: binary COPY into a stage, publishing in one fenced transaction.
SinkKind postgres_sink();

struct PostgresOptions {
  Secret url, password;
  std::string ca_file;
  std::string schema = "public";
  int max_connections = 4;
  std::vector<std::string> grant;
  Duration connect_timeout = std::chrono::seconds(10);
  Duration statement_timeout = std::chrono::minutes(10);
  Duration answer_grace = std::chrono::seconds(30);  // beyond it, before a silent server is given up
  Duration lock_timeout = std::chrono::seconds(60);  // of publishing; changes of tables wait five seconds at most
  std::size_t memory_per_slice = 2u << 20;           // rows beyond it go to the server while the slice is still read
};
std::unique_ptr<Sink> make_postgres_sink(PostgresOptions options, const SinkContext& context);

}  // namespace sluice
