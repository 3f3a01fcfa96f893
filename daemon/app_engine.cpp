#include "daemon/app_engine.hpp"

namespace sluice {
namespace {

// SQLite has one writer, yet slices may be staged while another is published.
constexpr int sink_connections_by_default = 4;

// What is secret in the settings is known to the log from the moment it is used.
void hide(const Settings::Node& node, Log& log) {
  if (!node.reference.literal() || node.value == Value::secret) log.hide(node.reference.resolve());
  for (const auto& item : node.items) hide(*item, log);
  for (const auto& [name, member] : node.members) hide(*member, log);
}

int connections_of(const SinkSettings& sink) {
  const auto& options = sink.kind->options;
  const bool has =
      std::any_of(options.begin(), options.end(), [](const Option& o) { return o.name == "max_connections"; });
  return has ? static_cast<int>(sink.settings.integer("max_connections")) : sink_connections_by_default;
}

std::mt19937_64 seeded() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

}  // namespace

struct Engine::MadeSource {
  std::unique_ptr<Connector> connector;
  SharedSource shared;
  MadeSource(std::unique_ptr<Connector> c, asio::any_io_executor executor)
      : connector(std::move(c)), shared(*connector, std::move(executor)) {}
};

struct Engine::MadeSink {
  std::unique_ptr<Sink> sink;
  SharedSink shared;
  MadeSink(std::unique_ptr<Sink> s, const asio::any_io_executor& executor, int connections)
      : sink(std::move(s)), shared(*sink, executor, connections) {}
};

Engine::Engine(asio::any_io_executor executor, Clock& clock, Events& events, Log& log, std::int64_t memory)
    : executor_(executor), clock_(clock), events_(events), log_(log), rng_(seeded()), memory_(executor, memory) {}

Engine::~Engine() = default;

void Engine::configure(std::shared_ptr<const Configuration> configuration) {
  const auto before = std::exchange(configuration_, std::move(configuration));
  memory_.set_permits(configuration_->memory);
  if (!before) return;
  std::erase_if(sources_, [&](const auto& entry) { return !same_source(*before, *configuration_, entry.first); });
  std::erase_if(sinks_, [&](const auto& entry) { return !same_sink(*before, *configuration_, entry.first); });
}

std::shared_ptr<Engine::MadeSource> Engine::made_source(const std::string& name) {
  if (const auto at = sources_.find(name); at != sources_.end()) return at->second;
  const auto* settings = configuration_->source(name);
  if (!settings) throw Error(Remedy::give_up, fmt::format("there is no source {} in {}", name, configuration_->file));
  if (settings->settings.node()) hide(*settings->settings.node(), log_);
  const ConnectorContext context{name, executor_, clock_, events_, rng_, nullptr, &in_flight_, quotas_};
  auto made = std::make_shared<MadeSource>(settings->kind->make(settings->settings, context), executor_);
  return sources_.emplace(name, std::move(made)).first->second;
}

std::shared_ptr<Engine::MadeSink> Engine::made_sink(const std::string& name) {
  if (const auto at = sinks_.find(name); at != sinks_.end()) return at->second;
  const auto* settings = configuration_->sink(name);
  if (!settings) throw Error(Remedy::give_up, fmt::format("there is no sink {} in {}", name, configuration_->file));
  if (settings->settings.node()) hide(*settings->settings.node(), log_);
  const SinkContext context{name, executor_, clock_, events_};
  auto sink = settings->kind->make(settings->settings, context);
  auto made = std::make_shared<MadeSink>(std::move(sink), executor_, connections_of(*settings));
  return sinks_.emplace(name, std::move(made)).first->second;
}

Connector& Engine::connector(const std::string& name) {
  return *made_source(name)->connector;
}

Sink& Engine::sink(const std::string& name) {
  return *made_sink(name)->sink;
}

task<RunEnded> Engine::run(RunRecord record, RunOptions options) {
  const auto configuration = configuration_;  // a reload must not take the pipeline away from under the run
  const auto* pipeline = configuration->pipeline(record.pipeline);
  if (!pipeline) {
    RunEnded ended;
    ended.run = record.id;
    ended.pipeline = record.pipeline;
    ended.trigger = record.trigger;
    ended.outcome = Outcome::cancelled;
    ended.message = "a reload has removed the pipeline before the run began";
    co_return ended;
  }
  const auto from = made_source(pipeline->source);
  const auto to = made_sink(pipeline->sink);
  RunContext context{executor_, from->shared, to->shared, memory_, clock_, events_, rng_, remembered_};
  co_return co_await run_pipeline(*pipeline, record, options, context);
}

task<ReplayResult> Engine::replay(const Pipeline& pipeline, const StreamPlan& stream, const ReplayOptions& options) {
  const auto from = made_source(pipeline.source);
  const auto to = made_sink(pipeline.sink);
  RunContext context{executor_, from->shared, to->shared, memory_, clock_, events_, rng_, remembered_};
  co_return co_await replay_quarantine(pipeline, stream, options, context);
}

task<std::int64_t> Engine::prune(std::string sink, Instant before) {
  const auto made = made_sink(sink);  // kept, whatever a reload does meanwhile
  co_return co_await made->sink->prune(before);
}

task<void> Engine::close() {
  for (const auto& [name, made] : sinks_) co_await made->sink->close();
}

}  // namespace sluice
