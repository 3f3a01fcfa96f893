// One source, one sink and a run between them, in virtual time: for suites over every stream of every connector.
#pragma once
#include <catch2/catch.hpp>
#include <cstdlib>
#include <set>

#include "connectors/registry.hpp"
#include "daemon/yaml.hpp"
#include "sandbox/sandbox.hpp"
#include "scheduler/run.hpp"
#include "tests/support/direct_client.hpp"
#include "tests/support/memory_sink.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using namespace std::chrono_literals;

// Thrown where the process dies. Nothing in sluice catches it.
struct Crash {};

// Counts the places where a run may be disturbed, and disturbs it at one of them.
class Fuse {
 public:
  enum class Trouble { crash, standstill };
  explicit Fuse(Clock& clock) : clock_(clock) {}

  task<void> burn() {
    if (++steps_ != last_) co_return;
    if (trouble_ == Trouble::crash) throw Crash();
    co_await clock_.sleep_for(10min);
  }
  // 0: at none.
  void set(int step, Trouble trouble) {
    steps_ = 0;
    last_ = step;
    trouble_ = trouble;
  }
  int steps() const { return steps_; }

 private:
  Clock& clock_;
  int steps_ = 0;
  int last_ = 0;
  Trouble trouble_ = Trouble::crash;
};

class FusedClient final : public HttpClient {
 public:
  FusedClient(HttpClient& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}
  task<HttpResponse> send(HttpRequest request) override {
    co_await fuse_.burn();
    auto response = co_await inner_.send(std::move(request));
    co_await fuse_.burn();
    co_return response;
  }
  task<void> stream(HttpRequest request, BodyReader& reader) override {
    co_await fuse_.burn();
    co_await inner_.stream(std::move(request), reader);
    co_await fuse_.burn();
  }

 private:
  HttpClient& inner_;
  Fuse& fuse_;
};

class FusedLoad final : public Load {
 public:
  FusedLoad(std::unique_ptr<Load> inner, Fuse& fuse) : inner_(std::move(inner)), fuse_(fuse) {}
  void add(Batch batch) override { inner_->add(std::move(batch)); }
  bool full() const override { return inner_->full(); }
  task<void> make_room() override { return inner_->make_room(); }
  void without_columns(const std::vector<std::string>& names) override { inner_->without_columns(names); }
  task<Published> publish(const Publication& publication) override {
    co_await fuse_.burn();
    auto published = co_await inner_->publish(publication);
    co_await fuse_.burn();
    co_return published;
  }
  task<void> set_aside() override { return inner_->set_aside(); }
  task<Replayed> replay(const std::vector<QuarantinedRow>& rows) override { return inner_->replay(rows); }

 private:
  std::unique_ptr<Load> inner_;
  Fuse& fuse_;
};

class FusedSink final : public Sink {
 public:
  FusedSink(MemorySink& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}
  task<std::vector<std::string>> plan(const Table& table) override { return inner_.plan(table); }
  task<std::map<std::string, std::string>> prepare(const Table& table) override { return inner_.prepare(table); }
  task<Progress> progress(const LaneId& lane, const std::string& table, const std::string& days) override {
    return inner_.progress(lane, table, days);
  }
  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& p) override { return inner_.lanes(p); }
  task<std::vector<DayWindow>> loaded_days(const std::string& table, const std::string& partition) override {
    return inner_.loaded_days(table, partition);
  }
  task<std::vector<std::string>> loaders(const std::string& table) override { return inner_.loaders(table); }
  task<std::vector<std::string>> columns_of(const std::string& table) override { return inner_.columns_of(table); }
  task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice, const std::string& run,
                                   Instant read_started) override {
    auto load = co_await inner_.open(table, lane, slice, run, read_started);
    std::unique_ptr<Load> fused = std::make_unique<FusedLoad>(std::move(load), fuse_);
    co_return fused;
  }
  task<std::int64_t> count_quarantined(const std::string& p, const std::string& s) override {
    return inner_.count_quarantined(p, s);
  }
  task<std::vector<QuarantinedRow>> quarantined(const std::string& p, const std::string& s, const QuarantineFilter& f,
                                                std::size_t n) override {
    return inner_.quarantined(p, s, f, n);
  }
  task<std::vector<QuarantinedRead>> quarantined_reads(const std::string& p, const std::string& s,
                                                       const QuarantineFilter& f) override {
    return inner_.quarantined_reads(p, s, f);
  }
  task<std::int64_t> drop_quarantined(const std::string& p, const std::string& s, const QuarantineFilter& f) override {
    return inner_.drop_quarantined(p, s, f);
  }
  task<std::int64_t> prune(Instant before) override { return inner_.prune(before); }
  task<std::vector<Finding>> check(std::vector<std::string> tables) override { return inner_.check(std::move(tables)); }
  task<void> close() override { return inner_.close(); }

 private:
  MemorySink& inner_;
  Fuse& fuse_;
};

// A kind of source, how it is told of the sandbox, and a stream of it.
struct Case {
  std::string type, source, stream, options;
};

inline const ConnectorKind& kind_of(const std::string& type) {
  for (const auto& kind : connector_kinds())
    if (kind.type == type) return kind;
  throw std::logic_error("no connector is of type " + type);
}

// All streams that there are.
inline std::vector<Case> cases() {
  ::setenv("SLUICE_TEST_TOKEN", "sandbox-token", 1);
  ::setenv("SLUICE_TEST_REFRESH", "sandbox-refresh", 1);
  std::vector<Case> all;
  for (const auto* stream : {"accounts", "campaigns", "adsets", "ads", "creatives", "insights"})
    all.push_back({"facebook_ads", "access_token: {env: SLUICE_TEST_TOKEN}", stream, "{}"});
  const std::string clevertap =
      "{account_id: A, passcode: {env: SLUICE_TEST_TOKEN}, timezone: Asia/Kolkata, region: in1, page_size: 100}";
  all.push_back({"clevertap", clevertap, "events", "{names: [App Launched, Charged]}"});
  all.push_back({"clevertap", clevertap, "event_counts", "{names: [App Launched]}"});
  for (const auto* stream : {"profiles", "campaigns", "campaign_reports"})
    all.push_back({"clevertap", clevertap, stream, "{}"});
  const std::string google =
      "{client_id: id, client_secret: {env: SLUICE_TEST_TOKEN}, refresh_token: {env: SLUICE_TEST_REFRESH}, "
      "login_customer_id: \"1000000001\"}";
  for (const auto* stream : {"customers", "campaigns", "ad_groups", "ads", "keywords", "budgets",
                             "campaign_performance", "ad_group_performance", "ad_performance", "keyword_performance",
                             "search_terms", "geo_performance", "clicks", "change_events"})
    all.push_back({"google_ads", google, stream, "{}"});
  return all;
}

// One machine: a source, a sink that outlives crashes, and as many processes as it takes.
class Machine {
 public:
  explicit Machine(const Case& of) : case_(of), stream_(of.stream) {
    sandbox::Options options;
    options.accounts = 2;
    options.ads = 4;
    options.report_delay = 3s;
    sandbox_.emplace(options, world_.clock());
    sandbox_->set_now(world_.clock().now());
  }

  // A process's life: true when it ended its run, false when it crashed.
  bool live(int crash_at) {
    fuse_.set(crash_at, Fuse::Trouble::crash);
    Process process(*this);
    try {
      const auto ended = world_.run(process.run());
      INFO(ended.message);
      CHECK(ended.outcome == Outcome::succeeded);
      return true;
    } catch (const Crash&) {
      CHECK(sink.open_loads == 0);
      return false;
    }
  }

  // A process whose run stands still at that step, and is cancelled there: how it ended.
  std::optional<RunEnded> cancelled(int step) {
    fuse_.set(step, Fuse::Trouble::standstill);
    Process process(*this);
    std::optional<RunEnded> ended;
    world_.run_until(world_.clock().now() + 2min, detail::store(process.run(), ended));
    CHECK(sink.open_loads == 0);
    return ended;
  }

  int steps() const { return fuse_.steps(); }
  // Progress is a day, and not the instant of the read.
  bool by_days() const { return by_days_; }

  // The table without regard to the order in which slices came.
  std::multiset<MemorySink::Row> table() {
    std::multiset<MemorySink::Row> rows;
    for (const auto& row : sink.rows[stream_]) rows.insert(row);
    return rows;
  }

  std::map<LaneId, std::optional<std::string>> done_to() const {
    std::map<LaneId, std::optional<std::string>> reached;
    for (const auto& [lane, progress] : sink.progresses) reached[lane] = progress.done_to;
    return reached;
  }

  MemorySink sink;

 private:
  // What lives as long as one process.
  struct Process {
    explicit Process(Machine& m)
        : direct(*m.sandbox_, m.world_.clock()), client(direct, m.fuse_), fused(m.sink, m.fuse_) {
      const auto& kind = kind_of(m.case_.type);
      Faults faults;
      const auto settings = parse_settings(m.case_.source, "test.yaml", kind.source_options, faults);
      ConnectorContext context{"source", m.world_.executor(), m.world_.clock(), events, rng, &client};
      connector = kind.make(settings, context);
      pipeline = m.make_pipeline(*connector, kind);
      record.id = "run";
      record.pipeline = "p";
      source.emplace(*connector, m.world_.executor());
      shared.emplace(fused, m.world_.executor(), 2);
      memory.emplace(m.world_.executor(), 1 << 20);
      run_context.emplace(
          RunContext{m.world_.executor(), *source, *shared, *memory, m.world_.clock(), events, rng, remembered});
    }
    task<RunEnded> run() { return run_pipeline(pipeline, record, options, *run_context); }

    DirectClient direct;
    FusedClient client;
    FusedSink fused;
    NoEvents events;
    Rng rng{1};
    std::unique_ptr<Connector> connector;
    Pipeline pipeline;
    RunRecord record;
    RunOptions options;
    Remembered remembered;
    std::optional<SharedSource> source;
    std::optional<SharedSink> shared;
    std::optional<Semaphore> memory;
    std::optional<RunContext> run_context;
  };

  Pipeline make_pipeline(const Connector& connector, const ConnectorKind& kind) {
    Faults faults;
    const auto options = parse_settings(case_.options, "test.yaml", kind.stream_options, faults);
    StreamPlan plan;
    plan.name = stream_;
    plan.spec = connector.configure(stream_, options, faults);
    by_days_ = plan.spec.cursor == Cursor::date;
    plan.start = day_of(world_.clock().now(), utc()) - 1;
    plan.lookback = 24h;
    plan.table.name = stream_;
    plan.transform = Transform::make(plan.spec, {}, plan.table, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    Pipeline pipeline;
    pipeline.name = "p";
    pipeline.streams.push_back(plan);
    return pipeline;
  }

  const Case case_;
  std::string stream_;
  bool by_days_ = false;
  test::World world_;
  std::optional<sandbox::Sandbox> sandbox_;
  Fuse fuse_{world_.clock()};
};

}  // namespace sluice::test
