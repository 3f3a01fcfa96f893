// sluice: pulls rows from advertising APIs into your database, on a schedule. Here the command line is understood; what
// it asks for is done by commands.cpp and the commands_*.cpp beside it.
//
// To follow the rows of `sluice run`, read on in commands_run.cpp (run_all), app.cpp (recorded_run), app_engine.cpp
// (Engine::run), scheduler/run.cpp and scheduler/lane.cpp, then one connector and one sink. `sluice serve` goes by
// app_serve.cpp and scheduler/scheduler.cpp to the same Engine::run. docs/architecture.md draws the way and explains
// the words.
#include <sys/prctl.h>
#include <sys/stat.h>

#include <csignal>

#include "daemon/cli.hpp"
#include "daemon/commands.hpp"

namespace {

// Secrets stay out of core files and away from debuggers of the same user; files are made for their owner alone.
void keep_secrets() {
  prctl(PR_SET_DUMPABLE, 0);
  umask(0077);
}

}  // namespace

int main(int argc, char** argv) {
  keep_secrets();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a full disk
  const auto understood = sluice::parse_command_line(argc, argv);
  if (const auto* answer = std::get_if<sluice::Answer>(&understood)) {
    answer->exit == sluice::exit_code::done ? sluice::print_out(answer->text) : sluice::print_err(answer->text);
    return answer->exit;
  }
  return sluice::run_command(std::get<sluice::Arguments>(understood));
}
