#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/events.hpp"
#include "core/sink.hpp"
#include "core/time.hpp"
#include "daemon/log.hpp"

namespace sluice {

// What the process ends with (sysexits.h where it has a word for it).
namespace exit_code {
inline constexpr int done = 0, failed = 1, usage = 2, temporary = 75, configuration = 78;
}

enum class Command {
  serve,
  run,
  backfill,
  check,
  plan,
  discover,
  preview,
  status,
  runs,
  logs,
  trigger,
  pause,
  resume,
  cancel,
  quarantine_list,
  quarantine_show,
  quarantine_replay,
  quarantine_drop,
  schema,
  demo,
  version
};

// The command line, understood.
struct Arguments {
  Command command = Command::version;
  std::optional<std::string> config;  // -c
  std::string server;                 // --server; empty: the daemon of the configuration
  bool json = false;                  // -o json
  Level log_level = Level::info;
  LogFormat log_format = LogFormat::text;

  std::vector<std::string> pipelines;  // run: at least one; others: none or one
  std::string stream;                  // --stream, or the part after the slash of PIPELINE/STREAM
  std::string source;                  // discover
  std::string run;                     // logs, cancel
  bool full_refresh = false;           // run
  std::optional<Day> from, to;         // backfill
  std::string name;                    // backfill
  int parallel = 1;                    // backfill
  bool dry_run = false;                // backfill, quarantine replay
  bool connect = false;                // check
  std::size_t limit = 20;              // preview, runs, quarantine
  std::string input;                   // preview
  QuarantineFilter quarantined;        // quarantine
  bool all = false;                    // quarantine drop
  std::string directory;               // demo
  bool exit_after = false;             // demo
};

// --help, or something that is no command: what to print, and what to end with.
struct Answer {
  int exit = exit_code::done;
  std::string text;
};

std::variant<Arguments, Answer> parse_command_line(int argc, const char* const* argv);

}  // namespace sluice
