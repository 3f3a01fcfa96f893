// A crash before and after every request and every publish of a first and of a later run. Restarted, sluice ends with
// exactly the tables of a run that was never disturbed.
#include <catch2/catch.hpp>
#include <set>

#include "connectors/registry.hpp"
#include "daemon/yaml.hpp"
#include "sandbox/sandbox.hpp"
#include "scheduler/run.hpp"
#include "tests/support/direct_client.hpp"
#include "tests/support/memory_sink.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::MemorySink;

namespace {

// Thrown where the process dies. Nothing in sluice catches it.
struct Crash {};

// Counts the places where a process may die, and dies at one of them.
class Fuse {
 public:
  void burn() {
    if (++steps_ == last_) throw Crash();
  }
  void set(int step) {
    steps_ = 0;
    last_ = step;
  }
  int steps() const { return steps_; }

 private:
  int steps_ = 0;
  int last_ = 0;
};

class CrashingClient final : public HttpClient {
 public:
  CrashingClient(HttpClient& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}
  task<HttpResponse> send(HttpRequest request) override {
    fuse_.burn();
    auto response = co_await inner_.send(std::move(request));
    fuse_.burn();
    co_return response;
  }
  task<void> stream(HttpRequest request, BodyReader& reader) override {
    fuse_.burn();
    co_await inner_.stream(std::move(request), reader);
    fuse_.burn();
  }

 private:
  HttpClient& inner_;
  Fuse& fuse_;
};

class CrashingLoad final : public Load {
 public:
  CrashingLoad(std::unique_ptr<Load> inner, Fuse& fuse) : inner_(std::move(inner)), fuse_(fuse) {}
  task<void> stage(Batch& batch) override { return inner_->stage(batch); }
  void without_columns(const std::vector<std::string>& names) override { inner_->without_columns(names); }
  task<Published> publish(const Publication& publication) override {
    fuse_.burn();
    auto published = co_await inner_->publish(publication);
    fuse_.burn();
    co_return published;
  }
  task<void> set_aside() override { return inner_->set_aside(); }
  task<Replayed> replay(const std::vector<QuarantinedRow>& rows) override { return inner_->replay(rows); }

 private:
  std::unique_ptr<Load> inner_;
  Fuse& fuse_;
};

class CrashingSink final : public Sink {
 public:
  CrashingSink(MemorySink& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}
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
    std::unique_ptr<Load> crashing = std::make_unique<CrashingLoad>(std::move(load), fuse_);
    co_return crashing;
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
  task<std::vector<Finding>> check() override { return inner_.check(); }
  task<void> close() override { return inner_.close(); }

 private:
  MemorySink& inner_;
  Fuse& fuse_;
};

// A kind of source, how it is told of the sandbox, and a stream of it.
struct Case {
  std::string type, source, stream, options;
};

const ConnectorKind& kind_of(const std::string& type) {
  for (const auto& kind : connector_kinds())
    if (kind.type == type) return kind;
  throw std::logic_error("no connector is of type " + type);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto* stream : {"accounts", "campaigns", "adsets", "ads", "creatives", "insights"})
    all.push_back({"facebook_ads", "access_token: {env: SLUICE_TEST_TOKEN}", stream, "{}"});
  const std::string clevertap =
      "{account_id: A, passcode: {env: SLUICE_TEST_TOKEN}, timezone: Asia/Kolkata, region: in1, page_size: 100}";
  all.push_back({"clevertap", clevertap, "events", "{names: [App Launched, Charged]}"});
  all.push_back({"clevertap", clevertap, "event_counts", "{names: [App Launched]}"});
  for (const auto* stream : {"profiles", "campaigns", "campaign_reports"})
    all.push_back({"clevertap", clevertap, stream, "{}"});
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
    fuse_.set(crash_at);
    test::DirectClient direct(*sandbox_, world_.clock());
    CrashingClient client(direct, fuse_);
    CrashingSink crashing(sink, fuse_);
    NoEvents events;
    Rng rng(1);
    const auto& kind = kind_of(case_.type);
    ConnectorContext context{"source", world_.executor(), world_.clock(), events, rng, &client};
    Faults faults;
    const auto settings = parse_settings(case_.source, "test.yaml", kind.source_options, faults);
    const auto connector = kind.make(settings, context);
    SharedSource source(*connector, world_.executor());
    SharedSink shared(crashing, world_.executor(), 2);
    Semaphore memory(world_.executor(), 1 << 20);
    RunMemory remembered;
    RunContext run_context{world_.executor(), source, shared, memory, world_.clock(), events, rng, remembered};
    const auto pipeline = make_pipeline(*connector, kind);
    RunRecord record;
    record.id = "run";
    record.pipeline = "p";
    try {
      const auto ended = world_.run(run_pipeline(pipeline, record, RunOptions(), run_context));
      INFO(ended.message);
      CHECK(ended.outcome == Outcome::succeeded);
      return true;
    } catch (const Crash&) {
      CHECK(sink.open_loads == 0);
      return false;
    }
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
    REQUIRE(faults.empty());
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
  Fuse fuse_;
};

}  // namespace

TEST_CASE("a crash before and after every request and publish of any stream loses and doubles nothing") {
  setenv("SLUICE_TEST_TOKEN", "sandbox-token", 1);
  const auto all = cases();
  const auto& of = all[static_cast<std::size_t>(GENERATE_COPY(range(0, static_cast<int>(all.size()))))];
  CAPTURE(of.type, of.stream);
  Machine calm(of);
  REQUIRE(calm.live(0));
  const auto expected = calm.table();
  REQUIRE_FALSE(expected.empty());
  const int steps = calm.steps();
  REQUIRE(steps > 3);
  for (int step = 1; step <= steps; ++step) {
    CAPTURE(step);
    Machine machine(of);
    CHECK_FALSE(machine.live(step));
    CHECK(machine.live(0));
    CHECK(machine.table() == expected);
    if (calm.by_days()) CHECK(machine.done_to() == calm.done_to());
  }
}
