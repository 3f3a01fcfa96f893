#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "core/clock.hpp"
#include "core/connector.hpp"
#include "core/events.hpp"
#include "core/retry.hpp"

namespace sluice {

// What a connector is given to work with; all of it outlives the connector.
struct ConnectorContext {
  std::string source;  // its name in the file
  asio::any_io_executor executor;
  Clock& clock;
  Events& events;
  Rng& rng;
  class HttpClient* http = nullptr;           // tests put a scripted one here; otherwise the connector makes its own
  class InFlightLimits* in_flight = nullptr;  // of the process; none where a source is alone
  class QuotaStore* quotas = nullptr;         // what is remembered of the source's quotas; none: nothing is
};

// One row per kind of source, in registry.cpp (docs/adding-a-connector.md).
struct ConnectorKind {
  std::string_view type;                   // `type:` in sources
  std::span<const Option> source_options;  // beside type
  std::span<const Option> stream_options;  // beside the common ones
  std::unique_ptr<Connector> (*make)(const Settings& source, const ConnectorContext& context);
  // A stream option that says by itself what the stream is (a query), if there is one: a stream with it needs no
  // `from`, and `configure` is given the option's name instead.
  std::string_view defining_option = {};
};

std::span<const ConnectorKind> connector_kinds();

}  // namespace sluice
