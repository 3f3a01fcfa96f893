#include <CLI/CLI.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "sandbox/server.hpp"

using namespace sluice;
using sandbox::Options;

namespace {

template <typename T>
auto into(std::optional<T> (*parse)(std::string_view), T& target) {
  return [parse, &target](const std::string& text) {
    const auto value = parse(text);
    if (!value) throw CLI::ValidationError(fmt::format("\"{}\" is not valid here", text));
    target = *value;
  };
}

std::string list_of_faults() {
  std::string out = "faults, as NAME[=ARG][@PATH][%EVERY][#TIMES]:\n";
  for (const auto& kind : sandbox::fault_kinds()) out += fmt::format("  {:<24} {}\n", kind.name, kind.help);
  return out;
}

void describe(CLI::App& app, Options& options, Day& today, bool& with_parent) {
  app.add_option("--port", options.port, "0: any free one");
  app.add_option("--seed", options.seed, "another seed, other data");
  app.add_option("--accounts", options.accounts)->check(CLI::Range(1, 5000));
  app.add_option("--ads", options.ads, "of each account")->check(CLI::Range(1, 500'000));
  app.add_option_function<std::string>("--today", into(&parse_day, today),
                                       "YYYY-MM-DD: time stands still at noon UTC of that day");
  app.add_option("--rows-per-day", options.rows_per_day,
                 "that many ads deliver and events of each kind happen on each day; served as prepared bytes")
      ->check(CLI::Range(1, 500'000));
  app.add_option_function<std::string>("--report-delay", into(&parse_duration, options.report_delay),
                                       "2s: how long a report takes");
  app.add_option_function<int>(
      "--latency", [&options](int ms) { options.latency = std::chrono::milliseconds(ms); },
      "milliseconds before each answer");
  app.add_option("--token", options.token, "the one accepted");
  app.add_option("--app-secret", options.app_secret, "calls need its appsecret_proof");
  app.add_option("--quota", options.quota, "calls of an account in five minutes, for the usage headers");
  app.add_flag("--enforce-quota", options.enforce_quota, "refuse calls above it");
  app.add_option_function<std::vector<std::string>>(
      "--fault",
      [&options](const std::vector<std::string>& texts) {
        for (const auto& text : texts) options.faults.push_back(sandbox::parse_fault(text));
      },
      "may be repeated");
  app.add_flag("--exit-with-parent", with_parent, "end when standard input closes");
  app.footer(list_of_faults());
}

task<void> until_stdin_closes(TaskGroup& group) {
  asio::posix::stream_descriptor input(co_await asio::this_coro::executor, ::dup(0));
  std::array<char, 256> bytes{};
  error_code closed;
  while (!closed)
    co_await input.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, closed));
  group.cancel();
}

task<void> until_signal(TaskGroup& group) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  error_code failed;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, failed));
  group.cancel();
}

task<void> live(sandbox::Server& server, bool with_parent) {
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(server.run());
  group.spawn(until_signal(group));
  if (with_parent) group.spawn(until_stdin_closes(group));
  co_await group.join();
}

int serve(const Options& options, bool with_parent) {
  asio::io_context io(1);
  sandbox::Server server(io, options);
  std::cout << "listening on " << server.url() << std::endl;
  std::exception_ptr failure;
  asio::co_spawn(io, live(server, with_parent), [&](std::exception_ptr error) { failure = error; });
  io.run();
  if (failure && !is_cancellation(failure)) std::rethrow_exception(failure);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Simulated APIs of Facebook, Google Ads and CleverTap on loopback, for demonstrations, tests and benchmarks.");
  Options options;
  Day today(1970, 1, 1);
  bool with_parent = false;
  try {
    describe(app, options, today, with_parent);
    app.parse(argc, argv);
    if (app.count("--today") > 0) options.today = today;
    return serve(options, with_parent);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::cerr << "sluice-sandbox: " << error.what() << "\n";
    return 1;
  }
}
