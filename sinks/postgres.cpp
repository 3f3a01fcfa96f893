#include "sinks/postgres.hpp"

#include "core/error.hpp"
#include "db/postgres.hpp"

namespace sluice {
namespace {

constexpr Option postgres_options[] = {
    {.name = "url",
     .value = Value::text,
     .help =
         "The database as libpq takes it, postgresql://user@host:5432/database?sslmode=verify-full. TLS is verified "
         "in full unless the URL's own sslmode says otherwise; Unix sockets need none.",
     .required = true},
    {.name = "password", .value = Value::secret, .help = "The user's password, where it is not part of the URL."},
    {.name = "ca_file",
     .value = Value::text,
     .help = "Certificates (PEM) of the authorities that the server's certificate is verified against; default: the "
             "system's."},
    {.name = "schema",
     .value = Value::text,
     .help = "Where the tables go; created where it is missing.",
     .fallback = "public"},
    {.name = "max_connections",
     .value = Value::integer,
     .help = "Connections that this sink may open.",
     .fallback = "4",
     .least = "2",
     .most = "1000"},
    {.name = "grant", .value = Value::text_list, .help = "Roles that may SELECT from the tables that sluice creates."},
};

std::unique_ptr<Sink> make_postgres(const Settings& settings, const SinkContext& context) {
  PostgresOptions chosen;
  chosen.url = settings.reference("url").resolve();
  if (settings.has("password")) chosen.password = settings.secret("password");
  if (settings.has("ca_file")) chosen.ca_file = settings.text("ca_file");
  chosen.schema = settings.text("schema");
  chosen.max_connections = static_cast<int>(settings.integer("max_connections"));
  chosen.grant = settings.texts("grant");
  return make_postgres_sink(std::move(chosen), context);
}

std::optional<std::string> postgres_url_fault(const std::string& url) {
  pg::Target target;
  target.url = Secret(url);
  try {
    pg::connection_parameters(target);
  } catch (const Error&) {
    return "expected postgresql://user@host:5432/database, with %-escapes for special characters and without zero "
           "bytes";
  }
  return {};
}

}  // namespace

SinkKind postgres_sink() {
  return SinkKind{.type = "postgres",
                  .options = postgres_options,
                  .partitions = true,
                  .url_fault = postgres_url_fault,
                  .make = make_postgres};
}

}  // namespace sluice
