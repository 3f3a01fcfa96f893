// What is masked or dropped is nowhere but in the source's answer: a run, in virtual time, of rows that fit, rows that
// do not, and answers that nobody understands; then a search of every file that it left (tables, quarantine, ledger,
// state, log, metrics) for the clear values.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "daemon/configuration.hpp"
#include "daemon/log.hpp"
#include "daemon/metrics.hpp"
#include "daemon/state.hpp"
#include "db/sqlite.hpp"
#include "scheduler/run.hpp"
#include "tests/support/folder.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

namespace {

// In any case, since a message may change it.
std::vector<std::string> clear_values_in(std::string text, const std::vector<std::string>& canaries) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  std::vector<std::string> found;
  for (const auto& canary : canaries)
    if (text.find(canary) != std::string::npos) found.push_back(canary);
  return found;
}

// To the log, the metrics, and a text of all that events say.
class Everywhere final : public Events {
 public:
  Everywhere(Log& log, Metrics& metrics, Clock& clock) : log_(log), metrics_(metrics), clock_(clock) {}
  void emit(const Event& event) override {
    log_.on(event, clock_.now());
    metrics_.on(event);
    if (const auto* change = std::get_if<SchemaChanged>(&event)) said += change->column + change->message + "\n";
    if (const auto* notice = std::get_if<Notice>(&event)) said += notice->message + "\n";
    if (const auto* ended = std::get_if<SliceEnded>(&event)) said += ended->message + "\n";
    if (const auto* retried = std::get_if<RequestRetried>(&event)) said += retried->message + "\n";
  }
  std::string said;

 private:
  Log& log_;
  Metrics& metrics_;
  Clock& clock_;
};

// One process with a file, a scripted source, an SQLite sink and a state.
class PrivateMachine {
 public:
  using Answer = std::function<HttpResponse(const HttpRequest&)>;

  // `file`: a sluice.yaml with one pipeline, whose sink is "warehouse" and whose source is scripted.
  PrivateMachine(const std::string& file, const Answer& answer) {
    ::setenv("SLUICE_TEST_TOKEN", "token", 1);
    ::setenv("SLUICE_TEST_MASK_KEY", "0123456789abcdef0123456789abcdef", 1);
    ::setenv("SLUICE_TEST_WAREHOUSE", ("sqlite://" + (folder_ / "warehouse.db")).c_str(), 1);
    Faults faults;
    configuration_ = read_configuration(file, "test.yaml", built_in_kinds(), faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    http_.answer_with(answer);
  }

  RunEnded run() {
    const int log_file = ::open((folder_ / "log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    RunEnded ended;
    {
      LogOptions options;
      options.level = Level::debug;
      options.fd = log_file;
      Log log(options);
      Metrics metrics((Inventory()));
      Everywhere events(log, metrics, world_.clock());
      ended = run_with(events);
      log.flush();
      std::ofstream(folder_ / "metrics") << metrics.text();
      std::ofstream(folder_ / "said") << events.said;
    }
    ::close(log_file);
    return ended;
  }

  // Which files hold which of the clear values.
  std::vector<std::string> leaks(const std::vector<std::string>& canaries) {
    std::vector<std::string> all;
    int files = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
      std::ostringstream content;
      content << std::ifstream(file.path(), std::ios::binary).rdbuf();
      for (const auto& found : clear_values_in(content.str(), canaries))
        all.push_back(file.path().filename().string() + ": " + found);
      ++files;
    }
    CHECK(files >= 5);
    return all;
  }

  std::vector<std::string> query(const std::string& sql) {
    sqlite::Database database(folder_ / "warehouse.db");
    auto statement = database.prepare(sql);
    std::vector<std::string> rows;
    while (statement.step()) rows.push_back(statement.maybe_text(0).value_or("~"));
    return rows;
  }
  int count(const std::string& from) { return std::stoi(query("SELECT count(*) FROM " + from).at(0)); }

  // What a reply that was saved would be shown as by `preview`.
  std::string preview(const std::string& reply) {
    NoEvents events;
    const auto connector = make_connector(events);
    const auto& stream = configuration_->pipelines.front().streams.front();
    std::string text;
    try {
      auto batch = connector->parse(stream.spec, "", reply);
      stream.transform.apply(batch);
      for (std::size_t row = 0; row < batch.rows(); ++row) {
        text += batch.raw(row);
        for (const auto& column : stream.table.columns)
          if (const auto& cell = batch.row(row)[column.source]; cell.kind == Kind::text) text += batch.text(cell);
      }
      for (const auto& reject : batch.rejects) text += reject.key + reject.reason + reject.raw;
    } catch (const Error& error) {
      text += error.what();
    }
    return text;
  }

 private:
  std::unique_ptr<Connector> make_connector(Events& events) {
    const auto& source = configuration_->sources.front();
    const ConnectorContext context{source.name, world_.executor(), world_.clock(), events, rng_, &http_};
    return source.kind->make(source.settings, context);
  }

  RunEnded run_with(Events& events) {
    const auto connector = make_connector(events);
    const auto& target = configuration_->sinks.front();
    const SinkContext sink_context{target.name, world_.executor(), world_.clock(), events};
    const auto sink = target.kind->make(target.settings, sink_context);
    SqliteStateStore state(folder_ / "state.db", world_.executor(), world_.clock());
    SharedSource source(*connector, world_.executor());
    SharedSink shared(*sink, world_.executor(), 2);
    Semaphore memory(world_.executor(), 1 << 20);
    Remembered remembered;
    RunContext context{world_.executor(), source, shared, memory, world_.clock(), events, rng_, remembered};
    RunRecord record;
    record.id = "run";
    record.pipeline = configuration_->pipelines.front().name;
    record.planned = record.started = world_.clock().now();
    world_.run(state.run_started(record));
    auto ended = world_.run(run_pipeline(configuration_->pipelines.front(), record, RunOptions(), context));
    record.ended = world_.clock().now();
    record.outcome = ended.outcome;
    record.message = ended.message;
    record.counts = ended.counts;
    world_.run(state.run_ended(record));
    world_.run(sink->close());
    return ended;
  }

  Folder folder_;
  World world_;
  ScriptedHttp http_{world_.clock()};
  Rng rng_{1};
  std::optional<Configuration> configuration_;
};

HttpResponse answered(const std::string& body) {
  return HttpResponse(200, {}, body);
}

std::string file_with(const std::string& source, const std::string& streams) {
  return "version: 1\nmask_key: {id: 2026-11, secret: {env: SLUICE_TEST_MASK_KEY}}\n"
         "sources:\n  app: {" +
         source +
         "}\nsinks:\n  warehouse: {type: sqlite, url: {env: SLUICE_TEST_WAREHOUSE}}\n"
         "pipelines:\n  p:\n    source: app\n    sink: warehouse\n    streams:\n" +
         streams;
}

const std::string clevertap_source =
    "type: clevertap, account_id: A, passcode: {env: SLUICE_TEST_TOKEN}, timezone: Asia/Kolkata, region: in1";

const std::vector<std::string> personal{"canary", "9876543210"};

std::string person(const std::string& more = {}) {
  return R"({"identity":"canary-7","objectId":"__gcanary","name":"Canary Rao","email":"canary@example.com",)"
         R"("phone":919876543210,"platform":"iOS","profileData":{"Address":"1 Canary Street","Plan":"gold"})" +
         more + "}";
}

std::string event(const std::string& ts, const std::string& profile, const std::string& amount = "12.50",
                  const std::string& more = {}) {
  return R"({"profile":)" + profile + R"(,"ts":)" + ts + R"(,"event_props":{"Amount":)" + amount +
         R"(,"Customer Email":"canary@example.com","Guests":[{"mail":"canary@example.com"}]},)"
         R"("session_props":{"session_source":"canary"})" +
         more + "}";
}

std::string page_of(const std::vector<std::string>& rows) {
  std::string text;
  for (const auto& row : rows) text += (text.empty() ? "" : ",") + row;
  return R"({"status":"success","records":[)" + text + "]}";
}

const std::string masks_of_events = R"(
        transform:
          - mask:
              identity: hmac_sha256
              object_id: hmac_sha256
              email: hmac_sha256
              phone: hmac_sha256
              name: redact
              profile.profileData.Address: redact
              event_props.Customer Email: hmac_sha256
              event_props.Guests.mail: redact
          - drop: [session_props]
)";

std::string events_stream(const std::string& transform, const std::string& more = {}) {
  return "      events:\n        names: [Charged]\n        window: {lookback: 0d, start: 2026-03-01}\n"
         "        promote: {amount: {path: event_props.Amount, type: decimal}}\n" +
         more + transform;
}

// Rows that fit, and rows that do not in each way there is: in a value, a member, the whole; with members that nobody
// knows.
std::string some_events(const std::string& ts) {
  return page_of({event(ts, person()),                                                 //
                  event(ts, person(), "13.5", R"(,"contact":"canary@example.com")"),   //
                  event(ts, person(), "\"much\"", R"(,"contact":{"mail":"canary"})"),  //
                  event("\"soon\"", person()),                                         //
                  event(ts, R"("canary@example.com")"),                                //
                  event(ts, R"(["canary@example.com"])"),                              //
                  event(ts, "null"),                                                   //
                  R"("canary@example.com")", R"(["canary"])"});
}

// 2026-03-01 is understood, 2026-03-02 has the page that is given.
PrivateMachine::Answer events_api(const std::string& second_day) {
  return [=](const HttpRequest& request) {
    const bool first = request.body.find("20260301") != std::string::npos;
    if (request.method == "POST")
      return answered(R"({"status":"success","cursor":")" + std::string(first ? "a" : "b") + "\"}");
    return answered(parameter(request, "cursor") == "a" ? some_events("20260301093000") : second_day);
  };
}

}  // namespace

TEST_CASE("privacy: of CleverTap's events no masked value is in any table, quarantine, state, log or metric") {
  const auto row = event("20260302093000", person());
  const auto second_day = GENERATE_COPY(values<std::string>({
      some_events("20260302093000"),
      R"({"status":"success","people":[)" + row + "]}",       // renamed
      R"({"status":"success","records":{"0":)" + row + "}}",  // another structure
      R"({"status":"success","records":"canary"})",           //
      R"({"status":"success","records":[],"next_cursor":{"canary@example.com":"canary"}})",
      R"({"status":{"x":"canary"},"records":[)" + row + "]}",                     //
      R"([)" + row + "]",                                                         //
      R"("canary@example.com")",                                                  //
      R"({"status":"success","records":[{"person":"canary","when":"canary"}]})",  // nothing that is known
      R"({"status":"success","records":[)" + row + ",",                           // breaks off
      "canary canary",                                                            // no JSON
  }));
  CAPTURE(second_day);
  PrivateMachine machine(file_with(clevertap_source, events_stream(masks_of_events)), events_api(second_day));
  const auto ended = machine.run();
  CHECK(clear_values_in(ended.message, personal).empty());
  CHECK(machine.leaks(personal) == std::vector<std::string>());
  CHECK(machine.count("app_events WHERE email LIKE 'hmac_sha256:2026-11:%' AND phone LIKE 'hmac_sha256:%'") >= 2);
  CHECK(machine.count("_sluice_quarantine WHERE rule <> 'structure'") >= 6);
  CHECK(clear_values_in(machine.preview(second_day), personal).empty());
}

TEST_CASE("privacy: the search finds what is not masked, so that it proves something") {
  PrivateMachine machine(file_with(clevertap_source, events_stream("")),
                         events_api(R"({"status":"success","people":[)" + person() + "]}"));
  machine.run();
  CHECK_THAT(Catch::StringMaker<std::vector<std::string>>::convert(machine.leaks(personal)),
             Contains("warehouse.db: canary") && Contains("warehouse.db: 9876543210"));
  CHECK(machine.count("_sluice_quarantine WHERE raw LIKE '%canary%'") >= 6);
}

TEST_CASE("privacy: fields that are added or kept as extra are guarded by their names there") {
  const auto keep = "        schema: {new_fields: keep_in_extra}\n" + masks_of_events +
                    "          - mask: {_sluice_extra.contact: redact}\n";
  PrivateMachine machine(file_with(clevertap_source, events_stream(keep)), events_api(some_events("20260302093000")));
  machine.run();
  CHECK(machine.leaks(personal) == std::vector<std::string>());
  CHECK(machine.count("app_events WHERE _sluice_extra = '{\"contact\":\"***\"}'") == 2);

  const auto add = "        schema: {new_fields: add}\n" + masks_of_events + "          - drop: [contact]\n";
  PrivateMachine added(file_with(clevertap_source, events_stream(add)), events_api(some_events("20260302093000")));
  added.run();
  CHECK(added.leaks(personal) == std::vector<std::string>());
  CHECK(added.count("app_events") >= 4);
}

TEST_CASE("privacy: CleverTap's people are kept apart by pseudonyms, also by those of their devices") {
  const auto with_device = [](const std::string& id) {
    return R"({"name":"Canary","platformInfo":[{"objectId":")" + id + R"(","platform":"iOS"}],"profileData":{"x":1}})";
  };
  const auto answer = [&](const HttpRequest& request) {
    if (request.method == "POST") return answered(R"({"status":"success","cursor":"a"})");
    return answered(
        page_of({person(), with_device("canary-a"), with_device("canary-b"), R"({"email":"canary@example.com"})"}));
  };
  PrivateMachine machine(file_with(clevertap_source, R"(
      profiles:
        transform:
          - mask: {person: hmac_sha256, email: partial, phone: partial, name: redact, properties: redact}
          - drop: [devices, identity]
)"),
                         answer);
  machine.run();
  CHECK(machine.leaks(personal) == std::vector<std::string>());
  CHECK(machine.count("app_profiles") == 3);
  CHECK(machine.query("SELECT count(DISTINCT person) FROM app_profiles WHERE person LIKE 'hmac_sha256:2026-11:%'") ==
        std::vector<std::string>{"3"});
  CHECK(machine.query("SELECT email || phone FROM app_profiles WHERE email IS NOT NULL") ==
        std::vector<std::string>{"c***@example.com***210"});
  CHECK(machine.count("_sluice_quarantine") == 1);
}

TEST_CASE("privacy: of Facebook's objects and reports no masked value is anywhere") {
  const auto answer = [](const HttpRequest& request) {
    const auto path = path_of(request);
    if (path.ends_with("/act_1"))
      return answered(R"({"account_id":"1","name":"Shop","account_status":1,"timezone_name":"UTC","id":"act_1"})");
    if (path.ends_with("/act_1/insights")) return answered(R"({"report_run_id":"77"})");
    if (path.ends_with("/77")) return answered(R"({"async_status":"Job Completed","async_percent_completion":100})");
    if (path.ends_with("/77/insights"))
      return answered(
          R"({"data":[{"account_id":"1","date_start":"2026-03-01","date_stop":"2026-03-01","ad_id":"5",)"
          R"("ad_name":"Canary Rao","impressions":"7","note":"canary"},{"account_id":"1","date_start":"2026-03-01",)"
          R"("ad_id":"6","ad_name":{"x":"canary"},"impressions":"many"}]})");
    return answered(
        R"({"data":[{"id":"11","account_id":"1","name":"Canary 9876543210","updated_time":"2026-03-01T00:00:00Z"},)"
        R"({"id":"12","account_id":"1","name":"canary","updated_time":"never"},)"
        R"({"id":"13","account_id":"1","name":["canary"],"updated_time":{"x":1}}]})");
  };
  const auto streams = [](const std::string& transform) {
    return "      campaigns: {fields: [name]" + transform +
           "}\n      insights: {level: ad, fields: [ad_name, impressions], window: {lookback: 0d, start: 2026-03-01}" +
           (transform.empty() ? "" : ", transform: [{mask: {ad_name: redact, ad_id: hmac_sha256}}]") + "}\n";
  };
  const std::string source = "type: facebook_ads, access_token: {env: SLUICE_TEST_TOKEN}, accounts: [\"1\"]";
  PrivateMachine machine(file_with(source, streams(", transform: [{mask: {name: hmac_sha256}}]")), answer);
  const auto ended = machine.run();
  INFO(ended.message);
  CHECK(machine.leaks(personal) == std::vector<std::string>());
  CHECK(machine.count("app_campaigns WHERE name LIKE 'hmac_sha256:2026-11:%'") == 1);
  CHECK(machine.count("app_insights WHERE ad_id LIKE 'hmac_sha256:%' AND ad_name = '***' AND impressions = 7") >= 1);
  CHECK(machine.count("_sluice_quarantine") >= 3);

  PrivateMachine open(file_with(source, streams("")), answer);
  open.run();
  CHECK_FALSE(open.leaks(personal).empty());
}
