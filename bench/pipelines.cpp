#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>

#include "core/error.hpp"
#include "daemon/app_serve.hpp"

// A daemon with very many small pipelines, which all fire each minute: how late their runs begin to read, and how late
// the event loop turns. All of it is the real one, the state on disk included, but for a source and a sink that touch
// nothing.
//   bench_pipelines FOLDER PIPELINES MINUTES    FOLDER is empty and takes the state

namespace sluice {
namespace {

using namespace std::chrono_literals;

// What happened when.
struct Observed {
  const Clock& clock;
  std::map<std::string, Duration> offsets;  // pipeline → its jitter
  std::map<std::string, Instant> due;       // pipeline → when its newest run was, jitter included
  std::vector<Duration> start_delays, loop_lags;

  void read_begins(const std::string& pipeline) { start_delays.push_back(clock.now() - due.at(pipeline)); }
};
Observed* observed = nullptr;  // kinds are made by plain functions

// One stream of a single row. Each pipeline loads it under its own name, by which reads are told apart.
class OneRow final : public Connector {
 public:
  std::vector<StreamSpec> catalogue() const override {
    StreamSpec spec;
    spec.name = "row";
    spec.columns = {Column("id", Type::int64)};
    spec.key = {"id"};
    return {spec};
  }
  StreamSpec configure(const std::string&, const Settings&, Faults&) const override { return catalogue().front(); }
  task<std::vector<Partition>> partitions(const StreamSpec&) override {
    co_return std::vector<Partition>{Partition("")};
  }
  task<std::string> horizon(const StreamSpec&, const Partition&, Instant) override { co_return std::string(); }
  task<void> read(const StreamSpec& spec, const Slice&, Output& out) override {
    observed->read_begins(spec.name);
    Batch batch(1);
    batch.add_row()[0] = Cell::of(std::int64_t{1});
    co_await out.emit(std::move(batch));
  }
  Batch parse(const StreamSpec&, const std::string&, std::string_view) const override { return Batch(1); }
  task<std::vector<Finding>> check() override { co_return std::vector<Finding>(); }
};

// Takes rows and forgets them, but not how far each lane is.
class Forgetful final : public Sink {
 public:
  task<std::vector<std::string>> plan(const Table&) override { co_return std::vector<std::string>(); }
  task<std::map<std::string, std::string>> prepare(const Table&) override {
    co_return std::map<std::string, std::string>();
  }
  task<Progress> progress(const LaneId& lane, const std::string&, const std::string&) override {
    co_return progresses_[lane];
  }
  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string&) override {
    co_return std::vector<std::pair<LaneId, Progress>>();
  }
  task<std::vector<DayWindow>> loaded_days(const std::string&, const std::string&) override {
    co_return std::vector<DayWindow>();
  }
  task<std::vector<std::string>> loaders(const std::string&) override { co_return std::vector<std::string>(); }
  task<std::vector<std::string>> columns_of(const std::string&) override { co_return std::vector<std::string>(); }
  task<std::unique_ptr<sluice::Load>> open(const Table&, const LaneId& lane, const Slice&, const std::string&,
                                           Instant) override {
    std::unique_ptr<sluice::Load> load = std::make_unique<Load>(progresses_[lane]);
    co_return load;
  }
  task<std::int64_t> count_quarantined(const std::string&, const std::string&) override { co_return 0; }
  task<std::vector<QuarantinedRow>> quarantined(const std::string&, const std::string&, const QuarantineFilter&,
                                                std::size_t) override {
    co_return std::vector<QuarantinedRow>();
  }
  task<std::vector<QuarantinedRead>> quarantined_reads(const std::string&, const std::string&,
                                                       const QuarantineFilter&) override {
    co_return std::vector<QuarantinedRead>();
  }
  task<std::int64_t> drop_quarantined(const std::string&, const std::string&, const QuarantineFilter&) override {
    co_return 0;
  }
  task<std::int64_t> prune(Instant) override { co_return 0; }
  task<std::vector<Finding>> check(std::vector<std::string>) override { co_return std::vector<Finding>(); }
  task<void> close() override { co_return; }

 private:
  class Load final : public sluice::Load {
   public:
    explicit Load(Progress& progress) : progress_(progress) {}
    void add(Batch) override {}
    bool full() const override { return false; }
    task<void> make_room() override { co_return; }
    void without_columns(const std::vector<std::string>&) override {}
    task<Published> publish(const Publication& publication) override {
      progress_.done_to = publication.done_to;
      Published published;
      published.version = ++progress_.version;
      published.counts.read = published.counts.unchanged = publication.read;
      co_return published;
    }
    task<void> set_aside() override { co_return; }
    task<Replayed> replay(const std::vector<QuarantinedRow>&) override { co_return Replayed(); }

   private:
    Progress& progress_;
  };

  std::map<LaneId, Progress> progresses_;
};

Kinds kinds() {
  static const ConnectorKind connectors[] = {
      {"one_row", {}, {}, [](const Settings&, const ConnectorContext&) -> std::unique_ptr<Connector> {
         return std::make_unique<OneRow>();
       }}};
  static const SinkKind sinks[] = {
      {"nowhere", {}, false, nullptr, [](const Settings&, const SinkContext&) -> std::unique_ptr<Sink> {
         return std::make_unique<Forgetful>();
       }}};
  return {connectors, sinks};
}

std::shared_ptr<const Configuration> configuration(const std::string& folder, int pipelines) {
  auto yaml = fmt::format(
      "version: 1\n"
      "state: {{url: \"sqlite://{}/state.db\"}}\n"
      "server: {{listen: \"127.0.0.1:0\"}}\n"
      "limits: {{concurrent_runs: 1000}}\n"
      "sources: {{source: {{type: one_row}}}}\n"
      "sinks: {{sink: {{type: nowhere}}}}\n"
      "pipelines:\n",
      folder);
  for (int i = 0; i < pipelines; ++i)
    yaml += fmt::format(
        "  p{0}: {{source: source, sink: sink, schedule: {{every: 1m, jitter: 1m}}, streams: {{p{0}: {{from: "
        "row}}}}}}\n",
        i);
  Faults faults;
  auto made = read_configuration(yaml, "bench.yaml", kinds(), faults);
  if (!made) throw Failure(exit_code::configuration, faults_text(faults));
  return std::make_shared<const Configuration>(std::move(*made));
}

Duration processor_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

void report(const char* what, std::vector<Duration> all, const char* goal) {
  std::sort(all.begin(), all.end());
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(all.at(std::min(all.size() - 1, all.size() * percent / 100)).count()) / 1000;
  };
  fmt::print("| {}: p50, p99, most of {} | {:.1f} ms, {:.1f} ms, {:.1f} ms | p99 under {} |\n", what, all.size(),
             at(50), at(99), at(100), goal);
}

task<void> watch_loop(Clock& clock, std::vector<Duration>& lags) {
  constexpr Duration step = 10ms;
  for (;;) {
    const auto asleep = clock.uptime();
    co_await clock.sleep_for(step);
    lags.push_back(clock.uptime() - asleep - step);
  }
}

task<void> measure(App& app, Daemon& daemon, int minutes) {
  const auto first = std::chrono::ceil<std::chrono::minutes>(app.clock.now());
  co_await app.clock.sleep_until(first);
  const auto before = processor_time();
  const auto began = app.clock.uptime();
  auto watching = watch_loop(app.clock, observed->loop_lags);
  co_await with_timeout(app.clock, first + std::chrono::minutes(minutes) - app.clock.now(), std::move(watching));
  const auto used = processor_time() - before;
  const auto took = app.clock.uptime() - began;
  report("start delay", observed->start_delays, "50 ms");
  report("loop lag, looked at each 10 ms", observed->loop_lags, "10 ms");
  fmt::print("| processor time, of one core | {:.0f} % | |\n",
             100.0 * static_cast<double>(used.count()) / static_cast<double>(took.count()));
  daemon.stop();
}

task<int> live(App& app, Daemon& daemon, int minutes) {
  co_await daemon.start();
  TaskGroup group(app.executor);
  group.spawn(daemon.serve());
  group.spawn(measure(app, daemon, minutes));
  co_await group.join();
  co_return exit_code::done;
}

int bench(const std::string& folder, int pipelines, int minutes) {
  Loop loop;
  App app(loop, configuration(folder, pipelines), LogOptions());
  Observed all{app.clock, {}, {}, {}, {}};
  observed = &all;
  for (const auto& pipeline : app.configuration->pipelines)
    all.offsets[pipeline.name] = pipeline.schedule.offset(pipeline.name);
  const auto listener = app.hub.listen([&](const Event& event) {
    if (const auto* run = std::get_if<RunStarted>(&event))
      all.due[run->pipeline] = run->planned + all.offsets.at(run->pipeline);
  });
  Daemon daemon(app);
  return loop.run(live(app, daemon, minutes), [&](int) { daemon.stop(); });
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "bench_pipelines FOLDER PIPELINES MINUTES\n");
    return 2;
  }
  try {
    return sluice::bench(argv[1], std::stoi(argv[2]), std::stoi(argv[3]));
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
