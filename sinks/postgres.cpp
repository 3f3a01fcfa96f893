#include "sinks/postgres.hpp"

#include "core/error.hpp"
#include "db/postgres.hpp"

namespace sluice {
namespace {

constexpr Option options[] = {
    {"url",
     Value::text,
     "The database as libpq takes it, postgresql://user@host:5432/database?sslmode=verify-full. TLS is verified in "
     "full unless "
     "the URL's own sslmode says otherwise; Unix sockets need none.",
     {},
     true},
    {"password", Value::secret, "The user's password, where it is not part of the URL."},
    {"ca_file", Value::text,
     "Certificates (PEM) of the authorities that the server's certificate is verified against; default: the system's."},
    {"schema", Value::text, "Where the tables go; created where it is missing.", "public"},
    {"max_connections", Value::integer, "Connections that this sink may open.", "4", false, {}, {}, "2", "1000"},
    {"grant", Value::text_list, "Roles that may SELECT from the tables that sluice creates."},
};

std::unique_ptr<Sink> make(const Settings& settings, const SinkContext& context) {
  PostgresOptions chosen;
  chosen.url = settings.reference("url").resolve();
  if (settings.has("password")) chosen.password = settings.secret("password");
  if (settings.has("ca_file")) chosen.ca_file = settings.text("ca_file");
  chosen.schema = settings.text("schema");
  chosen.max_connections = static_cast<int>(settings.integer("max_connections"));
  chosen.grant = settings.texts("grant");
  return make_postgres_sink(std::move(chosen), context);
}

std::optional<std::string> url_fault(const std::string& url) {
  pg::Target target;
  target.url = Secret(url);
  try {
    pg::connection_parameters(target);
  } catch (const Error&) {
    return "expected postgresql://user@host:5432/database, with %-escapes for special characters";
  }
  return {};
}

}  // namespace

SinkKind postgres_sink() {
  return SinkKind{.type = "postgres", .options = options, .partitions = true, .url_fault = url_fault, .make = make};
}

}  // namespace sluice
