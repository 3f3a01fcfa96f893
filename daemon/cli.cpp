#include "daemon/cli.hpp"

#include <CLI/CLI.hpp>
#include <sstream>

#include "core/settings.hpp"
#include "net/connection.hpp"

namespace sluice {
namespace {

const std::map<std::string, Level> levels{
    {"debug", Level::debug}, {"info", Level::info}, {"warning", Level::warning}, {"error", Level::error}};

// CLI11's own checks speak of types; these speak of what to write.
std::string check_day(const std::string& text) {
  return parse_day(text) ? "" : fmt::format("{}: expected a day like 2026-03-01", text);
}

std::string check_url(const std::string& text) {
  try {
    if (parse_url(text).path.find('?') == std::string::npos) return {};
  } catch (const Error&) {
  }
  return fmt::format("{}: expected a URL like http://host:8321", without_secrets(text));
}

Instant instant_of(const std::string& text) {
  if (const auto day = parse_day(text)) return start_of(*day, utc());
  if (const auto instant = parse_instant(text)) return *instant;
  throw CLI::ValidationError(text + ": expected a day such as 2026-03-01, or an instant such as 2026-03-01T06:00:00Z");
}

class Grammar {
 public:
  explicit Grammar(Arguments& arguments) : a_(arguments) {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.failure_message(CLI::FailureMessage::simple);
    common();
    running();
    looking();
    telling();
    other();
  }

  CLI::App& app() { return app_; }

 private:
  CLI::App* command(const std::string& name, Command which, const std::string& help) {
    return subcommand(app_, name, which, help);
  }
  CLI::App* subcommand(CLI::App& parent, const std::string& name, Command which, const std::string& help) {
    auto* sub = parent.add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([this, which] { a_.command = which; });
    return sub;
  }
  CLI::Option* pipeline(CLI::App* sub, bool required) {
    auto* option = sub->add_option("pipeline", a_.pipelines, "A pipeline of the configuration")
                       ->expected(1)
                       ->type_name("PIPELINE");
    return required ? option->required() : option;
  }
  void limit(CLI::App* sub, const char* help) {
    sub->add_option("--limit", a_.limit, help)->check(CLI::Range(1, 10'000))->type_name("N")->capture_default_str();
  }
  void pipeline_stream(CLI::App* sub) {
    sub->add_option_function<std::string>(
           "stream",
           [this](const std::string& text) {
             const auto slash = text.find('/');
             if (slash == std::string::npos || slash == 0 || slash + 1 == text.size())
               throw CLI::ValidationError(text + ": expected PIPELINE/STREAM");
             a_.pipelines = {text.substr(0, slash)};
             a_.stream = text.substr(slash + 1);
           },
           "A stream of a pipeline")
        ->required()
        ->type_name("PIPELINE/STREAM");
  }

  void common() {
    app_.add_option("-c,--config", a_.config, "Configuration; default ./sluice.yaml, then /etc/sluice/sluice.yaml")
        ->type_name("FILE");
    app_.add_option("--server", a_.server,
                    "The daemon to talk to, as https://host:port or with the path that a proxy gave it; its token in "
                    "$SLUICE_TOKEN, a private CA in $SSL_CERT_FILE")
        ->check(check_url)
        ->type_name("URL");
    app_.add_option_function<std::string>(
            "-o,--output", [this](const std::string& v) { a_.json = v == "json"; }, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->type_name("FORMAT");
    app_.add_option_function<std::string>(
            "--log-level", [this](const std::string& v) { a_.log_level = levels.at(v); },
            "debug, info, warning or error; default info")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
        ->type_name("LEVEL");
    app_.add_option_function<std::string>(
            "--log-format",
            [this](const std::string& v) { a_.log_format = v == "json" ? LogFormat::json : LogFormat::text; },
            "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->type_name("FORMAT");
    app_.add_flag_callback(
        "-V,--version",
        [this] {
          a_.command = Command::version;
          throw CLI::Success();
        },
        "Print the version");
  }

  void running() {
    command("serve", Command::serve, "The daemon: scheduler, runs, HTTP server; in the foreground");

    auto* run = command("run", Command::run, "Run pipelines now, here, with progress");
    run->add_option("pipeline", a_.pipelines, "Pipelines of the configuration")->required()->type_name("PIPELINE");
    run->add_option("--stream", a_.stream, "Only this stream")->type_name("STREAM");
    run->add_flag("--full-refresh", a_.full_refresh, "Read from the start again, window by window");

    auto* backfill = command("backfill", Command::backfill,
                             "Load past days again, beside the live runs; the same command resumes it");
    pipeline(backfill, true);
    const auto day = [&](const char* flag, std::optional<Day>& into, const char* help) {
      backfill
          ->add_option_function<std::string>(
              flag, [&into](const std::string& v) { into = parse_day(v); }, help)
          ->required()
          ->check(check_day)
          ->type_name("DAY");
    };
    day("--from", a_.from, "First day, in the account's own zone");
    day("--to", a_.to, "Last day, inclusive");
    backfill->add_option("--stream", a_.stream, "Only this stream")->type_name("STREAM");
    backfill->add_option("--name", a_.name, "Name of its line of progress; default from the days")->type_name("NAME");
    backfill->add_option("--parallel", a_.parallel, "Slices at a time")
        ->check(CLI::Range(1, 64))
        ->type_name("N")
        ->capture_default_str();
    backfill->add_flag("--dry-run", a_.dry_run, "Only say what would be loaded");

    auto* demo =
        command("demo", Command::demo, "The whole thing on this machine with a simulated API; nothing to configure");
    demo->add_option("directory", a_.directory, "Where its files go; default a new directory under /tmp")
        ->type_name("DIR");
    demo->add_flag("--exit", a_.exit_after, "Stop after the first complete run");
  }

  void looking() {
    auto* check = command("check", Command::check, "Validate the configuration");
    check->add_flag("--connect", a_.connect, "Also try credentials, privileges, clocks and certificates");
    pipeline(command("plan", Command::plan, "Next fires, windows, slices, DDL and requests; touches nothing"), false);
    command("discover", Command::discover, "Streams, columns, types and keys of a source")
        ->add_option("source", a_.source, "A source of the configuration")
        ->required()
        ->type_name("SOURCE");
    auto* preview = command("preview", Command::preview, "Extract and transform a little, print it, load nothing");
    pipeline_stream(preview);
    limit(preview, "Rows to print");
    preview->add_option("--input", a_.input, "A saved reply instead of the source")
        ->check(CLI::ExistingFile)
        ->type_name("FILE");
    pipeline(command("status", Command::status, "What is going on"), false);
    auto* runs = command("runs", Command::runs, "What went on");
    pipeline(runs, false);
    limit(runs, "Runs to print");
    command("logs", Command::logs, "What a run said")
        ->add_option("run", a_.run, "A run's id or its beginning; or a pipeline, for its last run")
        ->required()
        ->type_name("RUN");
  }

  void telling() {
    pipeline(command("trigger", Command::trigger, "Tell the daemon to run a pipeline now"), true);
    pipeline(command("pause", Command::pause, "Tell the daemon to stop firing a pipeline"), true);
    pipeline(command("resume", Command::resume, "Tell the daemon to fire a pipeline again"), true);
    auto* cancel = command("cancel", Command::cancel, "Tell the daemon to stop a running pipeline, or a backfill");
    pipeline(cancel, true);
    cancel->add_option("--run", a_.run, "Only the backfill that is this run, as runs or status -o json lists it")
        ->type_name("ID");
  }

  void other() {
    auto* quarantine = app_.add_subcommand("quarantine", "Rows that did not fit");
    quarantine->require_subcommand(1);
    quarantine->fallthrough();
    const auto rows = [&](const char* name, Command command, const char* help) {
      auto* sub = subcommand(*quarantine, name, command, help);
      pipeline_stream(sub);
      sub->add_option("id", a_.quarantined.id, "Only this one")->type_name("ID");
      sub->add_option("--rule", a_.quarantined.rule, "Only of this rule, as list shows it")->type_name("RULE");
      sub->add_option("--slice", a_.quarantined.slice, "Only of this slice, such as Charged/2026-03-01")
          ->type_name("SLICE");
      sub->add_option("--run", a_.quarantined.run, "Only those that this run left")->type_name("RUN");
      sub->add_option_function<std::string>(
             "--since", [this](const std::string& text) { a_.quarantined.since = instant_of(text); },
             "Only those seen then or later: a day of UTC, or an instant such as 2026-03-01T06:00:00Z")
          ->type_name("TIME");
      return sub;
    };
    limit(rows("list", Command::quarantine_list, "List them"), "Rows to print");
    limit(rows("show", Command::quarantine_show, "Print them whole, with their raw JSON"), "Rows to print");
    rows("replay", Command::quarantine_replay,
         "Map them again as the configuration is now, load those that fit, and take them out")
        ->add_flag("--dry-run", a_.dry_run, "Only map them, and say how many fit");
    rows("drop", Command::quarantine_drop, "Forget them")
        ->add_flag("--all", a_.all, "All of the stream: needed where nothing else narrows it");
    command("schema", Command::schema, "JSON Schema of sluice.yaml, for editors");
    command("version", Command::version, "Version, commit and libraries");
  }

  Arguments& a_;
  CLI::App app_{"sluice pulls rows from advertising APIs into your database, on a schedule.", "sluice"};
};

// CLI11 says of a word that is no command only that there should be one.
std::optional<std::string> unknown_command(const CLI::App& app) {
  const auto* place = &app;
  while (!place->get_subcommands().empty()) place = place->get_subcommands().front();
  const auto words = app.remaining(true);
  const auto commands = place->get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty() || words.empty() || words.front().starts_with('-')) return {};
  std::vector<std::string> known;
  for (const auto* command : commands) known.push_back(command->get_name());
  const auto path = place == &app ? std::string() : place->get_name() + " ";
  auto text = fmt::format("there is no command \"{}{}\"", path, words.front());
  if (const auto near = nearest_name(words.front(), known))
    text += fmt::format("; did you mean \"{}{}\"?", path, *near);
  return text;
}

// Each once, in their order.
void keep_first(std::vector<std::string>& names) {
  std::set<std::string> seen;
  std::erase_if(names, [&](const auto& name) { return !seen.insert(name).second; });
}

}  // namespace

std::variant<Arguments, Answer> parse_command_line(int argc, const char* const* argv) {
  Arguments arguments;
  Grammar grammar(arguments);
  try {
    grammar.app().parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return Answer{exit_code::done, grammar.app().help("", CLI::AppFormatMode::Normal)};
  } catch (const CLI::Success&) {
    return arguments;
  } catch (const CLI::ParseError& fault) {
    const auto unknown = unknown_command(grammar.app());
    return Answer{exit_code::usage, fmt::format("sluice: {}\nTry: sluice --help\n", unknown.value_or(fault.what()))};
  }
  keep_first(arguments.pipelines);
  if (arguments.from && arguments.to && *arguments.to < *arguments.from)
    return Answer{exit_code::usage, "sluice: --to lies before --from\n"};
  return arguments;
}

}  // namespace sluice
