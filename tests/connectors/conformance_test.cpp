// What every connector has to keep to, whatever its API.
#include <algorithm>
#include <regex>

#include "tests/connectors/machine.hpp"

using namespace sluice;

namespace {

// Never asked anything.
class NoNetwork final : public HttpClient {
 public:
  task<HttpResponse> send(HttpRequest request) override { refuse(request); }
  task<void> stream(HttpRequest request, BodyReader&) override { refuse(request); }

 private:
  [[noreturn]] static void refuse(const HttpRequest& request) { throw std::logic_error("asked for " + request.url); }
};

bool has_column(const StreamSpec& spec, const std::string& name) {
  return std::any_of(spec.columns.begin(), spec.columns.end(), [&](const Column& c) { return c.name == name; });
}

void check_spec(const StreamSpec& spec) {
  CAPTURE(spec.name);
  const std::regex identifier("[a-z][a-z0-9_]*");
  CHECK(std::regex_match(spec.name, identifier));
  CHECK_FALSE(spec.comment.empty());
  REQUIRE_FALSE(spec.columns.empty());
  std::set<std::string> names;
  for (const auto& column : spec.columns) {
    CAPTURE(column.name);
    CHECK(std::regex_match(column.name, identifier));
    CHECK(names.insert(column.name).second);
  }
  for (const auto& part : spec.key) CHECK(has_column(spec, part));
  CHECK((spec.mode == LoadMode::append) == spec.key.empty());
  if (!spec.partition_column.empty()) CHECK(has_column(spec, spec.partition_column));
  if (spec.cursor != Cursor::date) return;
  // Days are replaced as a whole: rows of several days, or partitions, must never share a key.
  REQUIRE(has_column(spec, spec.cursor_column));
  CHECK(spec.lookback);
  if (spec.key.empty()) return;
  CHECK(std::find(spec.key.begin(), spec.key.end(), spec.cursor_column) != spec.key.end());
  CHECK(std::find(spec.key.begin(), spec.key.end(), spec.partition_column) != spec.key.end());
}

}  // namespace

TEST_CASE("every connector is made, lists and shapes its streams without I/O, and each stream is well formed") {
  std::set<std::pair<std::string, std::string>> streams, tested;
  for (const auto& of : test::cases()) {
    CAPTURE(of.type, of.stream);
    tested.emplace(of.type, of.stream);
    const auto& kind = test::kind_of(of.type);
    test::World world;
    NoNetwork http;
    NoEvents events;
    Rng rng(1);
    Faults faults;
    const auto source = parse_settings(of.source, "test.yaml", kind.source_options, faults);
    const auto options = parse_settings(of.options, "test.yaml", kind.stream_options, faults);
    const ConnectorContext context{"source", world.executor(), world.clock(), events, rng, &http};
    const auto connector = kind.make(source, context);
    for (const auto& spec : connector->catalogue()) {
      streams.emplace(of.type, spec.name);
      check_spec(spec);
    }
    const auto spec = connector->configure(of.stream, options, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    CHECK(spec.name == of.stream);
    check_spec(spec);
  }
  // So that the suites over `cases` leave none out.
  CHECK(streams == tested);
  std::set<std::string> types, tested_types;
  for (const auto& kind : connector_kinds()) types.emplace(kind.type);
  for (const auto& [type, stream] : tested) tested_types.insert(type);
  CHECK(types == tested_types);
}
