#pragma once
#include <map>
#include <memory>
#include <string>

#include "db/postgres.hpp"
#include "sinks/postgres.hpp"
#include "sinks/postgres_catalog.hpp"

namespace sluice {

// What a PostgreSQL sink and its loads share.
struct PostgresCore {
  PostgresCore(PostgresOptions o, const SinkContext& c, pg::Target target)
      : options(std::move(o)),
        name(c.name),
        clock(c.clock),
        events(c.events),
        pool(c.executor, c.clock, std::move(target), options.max_connections,
             [this](bool is_up, const std::string& message) { tell(is_up, message); }) {}

  void tell(bool is_up, const std::string& message) {
    if (up == is_up) return;
    up = is_up;
    events.emit(SinkState{name, is_up, message});
  }

  PostgresOptions options;
  std::string name;
  Clock& clock;
  Events& events;
  std::optional<bool> up;
  pg::Pool pool;
  std::map<std::string, PostgresTable> tables;  // as last prepared
};

std::unique_ptr<Load> make_postgres_load(std::shared_ptr<PostgresCore> core, const Table& table, const LaneId& lane,
                                         const Slice& slice, std::string run, Instant read_started);

}  // namespace sluice
