#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "daemon/app_serve.hpp"
#include "daemon/child_process.hpp"
#include "daemon/commands.hpp"
#include "daemon/phrases.hpp"
#include "daemon/progress_bar.hpp"
#include "db/sqlite.hpp"

// `sluice demo`: the simulated APIs as a child, the real daemon in this process, an SQLite file.

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view marker = "# Written by `sluice demo`";
constexpr unsigned short usual_port = 8321;
constexpr const char* sandbox_token = "sandbox-token";
constexpr const char* refresh_token = "sandbox-refresh";
constexpr const char* pipelines[] = {"facebook", "google", "app"};

constexpr std::string_view file_text = R"(; edit it for a real account: the lines that change say so.
version: 1
timezone: UTC

server:
  listen: 127.0.0.1:{port}        # metrics, health, operator API

state:
  url: sqlite://{dir}/state.db

sources:
  facebook:
    type: facebook_ads
    base_url: {api}    # real account: leave this line out
    access_token: {{file: {dir}/token}}      # real account: put its token there, or write {{env: FACEBOOK_TOKEN}}
    # accounts: ["1234567890"]               # left out: every account the token can read
    report: {{poll: 200ms..1s}}                # real account: leave this line out
    rate_limit: {{rate: 50/s, burst: 100}}     # real account: leave this line out
  google:
    type: google_ads
    base_url: {api}          # real account: leave this line out, and the next
    token_url: {api}/token
    client_id: demo                          # real account: see docs/sources/google_ads.md
    client_secret: {{file: {dir}/token}}
    refresh_token: {{file: {dir}/google_refresh_token}}
    login_customer_id: "1000000001"
    rate_limit: {{rate: 50/s, burst: 100}}     # real account: leave this line out
  app:
    type: clevertap
    base_url: {api}    # real account: leave this line out, and write region: in1 (or where it lives)
    account_id: DEMO                         # real account: see docs/sources/clevertap.md
    passcode: {{file: {dir}/token}}
    timezone: Asia/Kolkata
    rate_limit: {{rate: 50/s, burst: 100}}     # real account: leave this line out

sinks:
  warehouse:
    type: sqlite                             # or postgres, with url: postgresql://user@host:5432/db
    url: sqlite://{dir}/warehouse.db

defaults:
  sink: warehouse

pipelines:
  facebook:
    source: facebook
    schedule: {{every: 5m}}                    # or {{cron: "7 * * * *", timezone: Europe/London}}
    freshness: 15m
    streams:
      accounts: {{}}
      campaigns: {{}}
      adsets: {{}}
      ads: {{}}
      creatives: {{}}
      insights:
        window: {{lookback: 7d}}
  google:
    source: google
    schedule: {{every: 5m}}
    freshness: 15m
    streams:
      customers: {{}}
      campaigns: {{}}
      campaign_performance:
        window: {{lookback: 7d}}
      spend_by_day:                          # any query of one's own
        query: SELECT segments.date, metrics.clicks, metrics.cost_micros FROM customer
        load: {{key: [segments_date]}}
  app:
    source: app
    schedule: {{every: 5m}}
    freshness: 15m
    streams:
      events: {{names: [Charged]}}
      campaigns: {{}}
)";

std::string make_folder(const std::string& wanted) {
  if (wanted.empty()) {
    auto name = fmt::format("{}/sluice-demo-XXXXXX", fs::temp_directory_path().string());
    if (!::mkdtemp(name.data()))
      throw Failure(exit_code::failed, "cannot make a folder under /tmp; name one: sluice demo DIR");
    return name;
  }
  std::error_code fault;
  fs::create_directories(wanted, fault);
  const auto path = fs::absolute(wanted, fault);
  if (fault) throw Failure(exit_code::failed, fmt::format("cannot make {}: {}", wanted, fault.message()));
  return path.lexically_normal().string();
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw Failure(exit_code::failed, fmt::format("cannot write {}", path));
}

// The configuration of an earlier demo may be replaced; anybody else's may not.
void refuse_foreign_file(const std::string& path) {
  std::ifstream in(path);
  std::string first;
  if (in && std::getline(in, first) && !first.starts_with(marker))
    throw Failure(exit_code::usage, fmt::format("{} is there already and not a demo's; name another folder", path));
}

// The usual port, or any free one where somebody has it.
unsigned short free_port() {
  asio::io_context io;
  const auto try_port = [&](unsigned short port) -> unsigned short {
    asio::ip::tcp::acceptor acceptor(io);
    error_code fault;
    acceptor.open(asio::ip::tcp::v4(), fault);
    acceptor.set_option(asio::ip::tcp::acceptor::reuse_address(true), fault);
    acceptor.bind({asio::ip::address_v4::loopback(), port}, fault);
    return fault ? 0 : acceptor.local_endpoint().port();
  };
  const auto usual = try_port(usual_port);
  return usual != 0 ? usual : try_port(0);
}

std::string start_message(const std::string& dir, unsigned short port) {
  return fmt::format(
      "configuration  {0}/sluice.yaml\n"
      "warehouse      {0}/warehouse.db  (SQLite)\n"
      "metrics        http://127.0.0.1:{1}/metrics\n"
      "health         http://127.0.0.1:{1}/readyz?verbose\n"
      "pipelines      http://127.0.0.1:{1}/api/v1/pipelines\n\n",
      dir, port);
}

std::string tables_of(const std::string& path) {
  sqlite::Database database(path, sqlite::Access::read_only);
  std::vector<std::string> names;
  auto list =
      database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name");
  while (list.step()) names.emplace_back(list.text(0));
  TablePrinter table({"TABLE", "ROWS"});
  for (const auto& name : names) {
    if (name.starts_with("_sluice_")) continue;
    auto count = database.prepare("SELECT count(*) FROM \"" + name + '"');
    count.step();
    table.add({name, grouped(count.integer(0))});
  }
  return table.print(Terminal::of(STDOUT_FILENO));
}

// What the demo shows of its first runs, and what it ends with.
struct Show {
  App& app;
  Daemon& daemon;
  std::string dir;
  bool exit_after;
  ProgressBar bar{Terminal::of(STDERR_FILENO), app.clock.uptime()};
  std::set<std::string> awaited{std::begin(pipelines), std::end(pipelines)};  // whose first run has not ended yet
  bool good = true;
  int code = exit_code::done;

  void on(const Event& event) {
    const auto text = bar.on(event, app.clock.uptime());
    if (!text.empty()) print_err(text);
    const auto* ended = std::get_if<RunEnded>(&event);
    if (!ended || awaited.erase(ended->pipeline) == 0) return;
    good = good && ended->outcome == Outcome::succeeded;
    if (!awaited.empty()) return;
    if (good) print_out("\n" + tables_of(dir + "/warehouse.db") + "\n");
    if (exit_after) {
      code = good ? exit_code::done : exit_code::failed;
      daemon.stop();
    } else {
      print_out(fmt::format(
          "It runs again every five minutes. Look at the rows with: sqlite3 {}/warehouse.db\nCtrl-C ends it.\n", dir));
    }
  }
};

task<int> show(App& app, Daemon& daemon, Show& show, unsigned short port) {
  const auto listener = app.hub.listen([&](const Event& event) { show.on(event); });
  co_await daemon.start();
  print_out(start_message(show.dir, port));
  for (const auto* pipeline : pipelines) co_await daemon.trigger(pipeline);
  co_await daemon.serve();
  co_await app.engine.close();
  co_return show.code;
}

}  // namespace

int demo_command(const Arguments& arguments) {
  const auto dir = make_folder(arguments.directory);
  const auto file = dir + "/sluice.yaml";
  refuse_foreign_file(file);
  ChildProcess sandbox(program_folder() + "/sluice-sandbox",
                       {"--port", "0", "--exit-with-parent", "--accounts", "3", "--ads", "30", "--report-delay",
                        "200ms", "--token", sandbox_token});
  const auto line = sandbox.read_line();
  const auto api = line.substr(std::min(line.find("http"), line.size()));
  if (api.empty()) throw Failure(exit_code::failed, "the simulated API did not start");
  const auto port = free_port();
  write_file(dir + "/token", std::string(sandbox_token) + "\n");
  write_file(fmt::format("{}/google_refresh_token", dir), fmt::format("{}\n", refresh_token));
  write_file(file, std::string(marker) + fmt::format(fmt::runtime(file_text), fmt::arg("dir", dir),
                                                     fmt::arg("port", port), fmt::arg("api", api)));

  Loop loop;
  auto with_file = arguments;
  with_file.config = file;
  LogOptions log{arguments.log_level, arguments.log_format};
  log.runs = false;
  App app(loop, load_or_fail(with_file, true), log);
  Daemon daemon(app);
  Show scene{app, daemon, dir, arguments.exit_after};
  return loop.run(show(app, daemon, scene, port), [&](int) { daemon.stop(); });
}

}  // namespace sluice
