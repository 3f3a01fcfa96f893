// sluice: pulls rows from advertising APIs into your database, on a schedule. Here the command line is understood and
// the command done; `sluice serve` goes on in app_serve.cpp, the way of the rows begins in scheduler/run.cpp.
#include <sys/prctl.h>
#include <sys/stat.h>

#include <csignal>

#include "daemon/app.hpp"
#include "daemon/cli.hpp"

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
  const auto understood = sluice::parse_command_line(argc, argv);
  if (const auto* answer = std::get_if<sluice::Answer>(&understood)) {
    answer->exit == sluice::exit_code::done ? sluice::print_out(answer->text) : sluice::print_err(answer->text);
    return answer->exit;
  }
  return sluice::run_command(std::get<sluice::Arguments>(understood));
}
