#include <openssl/pem.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/check.hpp"
#include "daemon/cell_print.hpp"
#include "daemon/commands.hpp"
#include "daemon/control.hpp"
#include "daemon/status_json.hpp"
#include "net/server_look.hpp"

// Commands that look and load nothing: check, preview.

namespace sluice {
namespace {

std::string_view word(Finding::Level level) {
  switch (level) {
    case Finding::Level::ok:
      return "ok";
    case Finding::Level::warning:
      return "warning";
    case Finding::Level::error:
      return "error";
  }
  return {};
}

// What check has found so far, for people and for machines.
class Findings {
 public:
  void add(const std::string& where, const Finding& finding) {
    if (finding.level == Finding::Level::error) bad_ = true;
    table_.add({where, std::string(word(finding.level)), finding.message});
    json_.push_back(Json{{"where", where}, {"level", word(finding.level)}, {"message", finding.message}});
  }
  void add(const std::string& where, const std::vector<Finding>& findings) {
    for (const auto& finding : findings) add(where, finding);
  }
  bool bad() const { return bad_; }
  void print(bool json) const { print_out(json ? pretty(json_) : table_.print(Terminal::of(STDOUT_FILENO))); }

 private:
  TablePrinter table_{{"WHERE", "RESULT", "FINDING"}};
  Json json_ = Json::array();
  bool bad_ = false;
};

task<void> checked(task<std::vector<Finding>> check, std::string where, Findings& findings) {
  try {
    const auto found = co_await std::move(check);
    findings.add(where, found);
  } catch (const Error& e) {
    findings.add(where, Finding(Finding::Level::error, e.what()));
  }
}

// Streams that load nothing yet.
Faults starts_to_come(const Configuration& configuration) {
  Faults found;
  const auto today = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  for (const auto& pipeline : configuration.pipelines)
    for (const auto& stream : pipeline.streams)
      if (stream.start && *stream.start > today)
        found.emplace_back(stream.settings.table("window").where("start"),
                           fmt::format("stream {} of {} loads nothing before window.start, {}, which is still to come",
                                       stream.name, pipeline.name, format_day(*stream.start)));
  return found;
}

task<std::vector<Finding>> check_state(App& app) {
  co_await app.state.probe();
  std::vector<Finding> findings;
  findings.emplace_back(Finding::Level::ok, fmt::format("state {} can be written", state_path(*app.configuration)));
  co_return findings;
}

// The tables that pipelines load into this sink.
std::vector<std::string> tables_in(const Configuration& configuration, const std::string& sink) {
  std::vector<std::string> tables;
  for (const auto& pipeline : configuration.pipelines)
    for (const auto& stream : pipeline.streams)
      if (pipeline.sink == sink) tables.push_back(stream.table.name);
  return tables;
}

// The clock and the certificate of a source's API. That nobody answers, the source's own check says.
task<void> check_server(App& app, const SourceSettings& source, std::string url, Findings& findings) {
  if (url.empty()) co_return;
  HttpOptions options;
  if (source.settings.has("ca_file")) options.ca_file = source.settings.text("ca_file");
  try {
    const auto found = co_await look_at_server(app.executor, app.clock, std::move(options), std::move(url));
    findings.add("source " + source.name, found);
  } catch (const Error&) {
  }
}

// The certificate that sluice itself shows: the first of its file.
std::optional<Finding> check_own_certificate(const ServerSettings& server, Instant now) {
  if (!server.settings.has("tls")) return {};
  const auto path = server.settings.table("tls").text("certificate");
  const auto useless = [&](const char* why) {
    return Finding(Finding::Level::error, fmt::format("server.tls.certificate: cannot use {}: {}", path, why));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return useless(std::strerror(errno));
  const std::unique_ptr<X509, void (*)(X509*)> certificate(PEM_read_X509(file.get(), nullptr, nullptr, nullptr),
                                                           &X509_free);
  const auto end = certificate ? end_of(*certificate) : std::nullopt;
  if (!end) return useless("it is not a certificate as PEM");
  return certificate_finding(*end, now, "sluice's own");
}

task<int> connect(App& app, Findings& findings) {
  auto state = check_state(app);
  co_await checked(std::move(state), "state", findings);
  if (const auto finding = check_own_certificate(app.configuration->server, app.clock.now()))
    findings.add("server", *finding);
  for (const auto& source : app.configuration->sources) {
    try {
      auto& connector = app.engine.connector(source.name);
      auto check = connector.check();
      co_await checked(std::move(check), "source " + source.name, findings);
      co_await check_server(app, source, connector.base_url(), findings);
    } catch (const Error& e) {
      findings.add("source " + source.name, Finding(Finding::Level::error, e.what()));
    }
  }
  for (const auto& sink : app.configuration->sinks) {
    try {
      auto check = app.engine.sink(sink.name).check(tables_in(*app.configuration, sink.name));
      co_await checked(std::move(check), "sink " + sink.name, findings);
    } catch (const Error& e) {
      findings.add("sink " + sink.name, Finding(Finding::Level::error, e.what()));
    }
  }
  co_await app.engine.close();
  co_return findings.bad() ? exit_code::failed : exit_code::done;
}

// Takes rows until there are enough; then it ends the extraction by an exception of its own.
class Sample final : public Output {
 public:
  struct Enough {};
  Sample(const StreamPlan& stream, std::size_t limit) : stream_(stream), limit_(limit) {}

  task<void> emit(Batch batch) override {
    take(std::move(batch));
    if (rows_.size() >= limit_) throw Enough();
    co_return;
  }
  void without_columns(const std::vector<std::string>& names, const std::string& why) override {
    print_err(fmt::format("without the columns {}: {}\n", fmt::join(names, ", "), why));
  }
  void incident(const std::string& why) override { print_err(why + "\n"); }
  Priority priority() const override { return Priority::backfill; }

  void take(Batch batch) {
    stream_.transform.apply(batch);
    for (auto& reject : batch.rejects) rejects_.push_back(std::move(reject));
    batch.rejects.clear();
    batch.compact();
    for (std::size_t i = 0; i < batch.rows() && rows_.size() < limit_; ++i) {
      auto& row = rows_.emplace_back();
      for (const auto& column : stream_.table.columns)
        row.push_back(print_cell(batch, batch.row(i)[column.source], column.type));
    }
  }

  void print(bool json) const {
    if (json) return print_out(to_json());
    std::vector<std::string> names;
    for (const auto& column : stream_.table.columns) names.push_back(column.name);
    TablePrinter table(names);
    for (const auto& row : rows_) {
      std::vector<std::string> cells;
      for (const auto& cell : row) cells.push_back(cell ? printable(*cell, 40) : "");
      table.add(std::move(cells));
    }
    print_out(table.print(Terminal{}));
    for (const auto& reject : rejects_)
      print_out(fmt::format("quarantine: {} ({}): {}\n", printable(reject.reason, 300), reject.rule,
                            printable(reject.raw, 500)));
    print_out(fmt::format("{} rows, {} for quarantine; nothing was loaded\n", rows_.size(), rejects_.size()));
  }

 private:
  // One row a line.
  std::string to_json() const {
    std::vector<std::string> rows, rejects;
    for (const auto& row : rows_) {
      std::vector<std::string> fields;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const auto& column = stream_.table.columns[i];
        fields.push_back(fmt::format("{}: {}", Json(column.name).dump(), json_of(row[i], column.type.type)));
      }
      rows.push_back(fmt::format("{{{}}}", fmt::join(fields, ", ")));
    }
    for (const auto& r : rejects_)
      rejects.push_back(Json{{"reason", r.reason}, {"rule", r.rule}, {"key", r.key}, {"raw", r.raw}}.dump());
    return fmt::format("{{\"rows\": [\n{}\n],\n\"quarantine\": [\n{}\n]}}\n", fmt::join(rows, ",\n"),
                       fmt::join(rejects, ",\n"));
  }

  const StreamPlan& stream_;
  std::size_t limit_;
  std::vector<std::vector<std::optional<std::string>>> rows_;
  std::vector<Reject> rejects_;
};

// What the source's saved reply holds. Throws Failure that names the file.
void take_saved(const std::string& file, const Connector& connector, const StreamPlan& stream, Sample& sample) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream reply;
  reply << in.rdbuf();
  try {
    sample.take(connector.parse(stream.spec, "", reply.str()));
  } catch (const Error& e) {
    throw Failure(exit_code::failed,
                  fmt::format("{} is not a saved reply with rows of {}: {}", file, stream.name, e.what()));
  }
}

Slice sample_slice(const StreamPlan& stream, const Partition& partition, Instant now, std::string horizon) {
  if (stream.spec.cursor == Cursor::date) {
    const auto today = day_of(now, partition.zone);
    return Slice::days(partition, today - 1, today);
  }
  if (stream.spec.cursor == Cursor::value) return Slice::values(partition, {}, std::move(horizon));
  return Slice::whole(partition);
}

// Why there is nothing to preview, where no partition is active.
std::string nothing_to_read(const Pipeline& pipeline, const StreamPlan& stream,
                            const std::vector<Partition>& partitions) {
  constexpr std::size_t shown = 3;
  const auto name = pipeline.name + "/" + stream.name;
  if (partitions.empty())
    return fmt::format("{} has nothing to read: {} has no account or event for it; see `sluice check --connect`", name,
                       pipeline.source);
  std::vector<std::string> reasons;
  for (const auto& partition : partitions)
    if (reasons.size() < shown) reasons.push_back(fmt::format("{}: {}", partition.id, partition.inactive_reason));
  if (partitions.size() > shown) reasons.push_back(fmt::format("and {} more", partitions.size() - shown));
  return fmt::format("{} has nothing to read, all of {} is left out: {}", name, pipeline.source,
                     fmt::join(reasons, "; "));
}

task<int> preview(App& app, const Pipeline& pipeline, StreamPlan stream, const Arguments& arguments) {
  auto& connector = app.engine.connector(pipeline.source);
  if (arguments.input.empty()) {
    const auto types = co_await connector.types(stream.spec);
    stream.learn(types);
  }
  Sample sample(stream, arguments.limit);
  if (!arguments.input.empty()) {
    take_saved(arguments.input, connector, stream, sample);
    sample.print(arguments.json);
    co_return exit_code::done;
  }
  const auto partitions = co_await connector.partitions(stream.spec);
  const auto first = std::find_if(partitions.begin(), partitions.end(), [](const Partition& p) { return p.active; });
  if (first == partitions.end()) throw Failure(exit_code::failed, nothing_to_read(pipeline, stream, partitions));
  std::string horizon;
  if (stream.spec.cursor == Cursor::value) horizon = co_await connector.horizon(stream.spec, *first, app.clock.now());
  const auto slice = sample_slice(stream, *first, app.clock.now(), std::move(horizon));
  try {
    co_await connector.read(stream.spec, slice, sample);
  } catch (const Sample::Enough&) {
  }
  sample.print(arguments.json);
  co_return exit_code::done;
}

}  // namespace

int check_command(const Arguments& arguments) {
  Faults faults;
  Findings findings;
  auto loaded = load_configuration(configuration_path(arguments.config), built_in_kinds(), faults);
  if (!loaded && !arguments.json) throw Failure(exit_code::configuration, faults_text(faults));
  for (const auto& [where, message] : faults) findings.add(to_string(where), Finding(Finding::Level::error, message));
  if (!loaded) {
    findings.print(true);
    return exit_code::configuration;
  }
  const auto configuration = std::make_shared<const Configuration>(std::move(*loaded));
  for (const auto& [where, message] : configuration->warnings)
    findings.add(to_string(where), Finding(Finding::Level::warning, message));
  for (const auto& [where, message] : check_references(*configuration))
    findings.add(to_string(where), Finding(Finding::Level::warning, message));
  for (const auto& [where, message] : starts_to_come(*configuration))
    findings.add(to_string(where), Finding(Finding::Level::warning, message));
  findings.add(
      configuration->file,
      Finding(Finding::Level::ok, fmt::format("{} pipelines, {} sources, {} sinks", configuration->pipelines.size(),
                                              configuration->sources.size(), configuration->sinks.size())));
  int code = exit_code::done;
  if (arguments.connect) {
    Loop loop;
    App app(loop, configuration, quiet_log(arguments));
    code = loop.run(connect(app, findings));
  }
  findings.print(arguments.json);
  return code;
}

int preview_command(const Arguments& arguments) {
  Loop loop;
  const auto configuration = load_or_fail(arguments, false);
  const auto& pipeline = pipeline_or_fail(*configuration, arguments.pipelines.at(0));
  const auto& stream = stream_or_fail(pipeline, arguments.stream);
  App app(loop, configuration, quiet_log(arguments));
  return loop.run(preview(app, pipeline, stream, arguments));
}

}  // namespace sluice
