#include <cstdlib>
#include <string>

#include "connectors/registry.hpp"
#include "daemon/yaml.hpp"
#include "net/http.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/world.hpp"

// Whole reads of a slice from an API that answers anything: they end, with rows that fit their stream or with an error
// that says what to do, and nothing says a credential.

using namespace sluice;
using fuzz::holds;
using fuzz::require;

namespace {

constexpr const char* canary = "c4n4ry-0123456789abcdef";

// Gives one answer after another, each a line with the status and one with the body; then there is no network.
struct Answers final : HttpClient {
  fuzz::Input input;
  explicit Answers(fuzz::Input in) : input(in) {}

  HttpResponse next(const HttpRequest& request) {
    require(!holds(request.url, canary), "no credential is in a URL");
    if (input.rest().empty()) throw HttpError(Remedy::give_up, "connect", "there is no network");
    static constexpr int statuses[] = {200, 202, 400, 401, 403, 429, 500};
    const auto status = statuses[input.pick(std::size(statuses))];
    return HttpResponse(status, {}, std::string(input.line()));
  }
  task<HttpResponse> send(HttpRequest request) override { co_return next(request); }
  task<void> stream(HttpRequest request, BodyReader& reader) override {
    const auto answer = next(request);
    reader.begin(answer);
    constexpr std::size_t piece = 50;
    for (std::size_t at = 0; at < answer.body.size(); at += piece)
      co_await reader.piece(std::string_view(answer.body).substr(at, piece));
  }
};

struct Fitting final : Output {
  std::size_t width;
  explicit Fitting(std::size_t columns) : width(columns) {}
  task<void> emit(Batch batch) override {
    require(batch.width() == width, "rows have the columns of their stream");
    for (std::size_t row = 0; row < batch.rows(); ++row)
      for (const auto& cell : batch.row(row))
        if (cell.kind == Kind::text) batch.text(cell);
    for (const auto& reject : batch.rejects)
      require(!reject.rule.empty() && !reject.reason.empty(), "a reject says why");
    co_return;
  }
  void without_columns(const std::vector<std::string>&, const std::string& why) override { say(why); }
  void incident(const std::string& why) override { say(why); }
  Priority priority() const override { return Priority::scheduled; }
  static void say(const std::string& why) { require(!why.empty() && !holds(why, canary), "it is said what happened"); }
};

struct Source {
  const char* type;
  const char* settings;
  const char* partition;
};
constexpr Source sources[] = {
    {"clevertap", "{account_id: a, passcode: {env: SLUICE_FUZZ_SECRET}, region: in1, timezone: UTC}", "Charged"},
    {"facebook_ads", "{access_token: {env: SLUICE_FUZZ_SECRET}, accounts: ['1']}", "1"},
    {"google_ads",
     "{client_id: i, client_secret: {env: SLUICE_FUZZ_SECRET}, refresh_token: {env: SLUICE_FUZZ_SECRET}, "
     "customers: ['11']}",
     "11"},
};

const ConnectorKind& kind_of(std::string_view type) {
  for (const auto& kind : connector_kinds())
    if (kind.type == type) return kind;
  throw fuzz::Broken("a source is known");
}

task<void> read(Connector& connector, const StreamSpec& stream, const Partition& partition, std::string_view saved) {
  Fitting out(stream.columns.size());
  try {
    auto batch = connector.parse(stream, partition.id, saved);
    co_await out.emit(std::move(batch));
  } catch (const Error& error) {
    Fitting::say(error.what());
  }
  const auto day = Day(2026, 3, 1);
  auto slice = stream.cursor == Cursor::date ? Slice::days(partition, day, day + 2)
               : stream.cursor == Cursor::value
                   ? Slice::values(partition, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
                   : Slice::whole(partition);
  co_await connector.read(stream, slice, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int set = ::setenv("SLUICE_FUZZ_SECRET", canary, 1);
  require(set == 0, "the environment takes a secret");
  fuzz::Input input(data, size);
  const auto& source = sources[input.pick(std::size(sources))];
  const auto place = input.pick(32);

  test::World world;
  NoEvents events;
  Rng rng(1);
  Answers answers(input);
  const auto& kind = kind_of(source.type);
  Faults faults;
  const auto settings = parse_settings(source.settings, "s.yaml", kind.source_options, faults);
  require(faults.empty(), "the source's settings are good");
  const auto connector =
      kind.make(settings, ConnectorContext{"src", world.executor(), world.clock(), events, rng, &answers});
  const auto catalogue = connector->catalogue();
  const auto& entry = catalogue[place % catalogue.size()];
  const auto options = parse_settings("{}", "s.yaml", kind.stream_options, faults);
  const auto stream = connector->configure(entry.name, options, faults);
  if (!faults.empty()) return 0;  // one that needs options

  try {
    world.run(read(*connector, stream, Partition(source.partition), input.rest()));
  } catch (const Error& error) {
    Fitting::say(error.what());
  }
  return 0;
}
