#include "daemon/commands.hpp"

#include <nlohmann/json.hpp>

#include "core/task.hpp"
#include "daemon/control.hpp"
#include "daemon/schema_json.hpp"
#include "daemon/status_json.hpp"
#include "daemon/version.hpp"

namespace sluice {
namespace {

int dispatch(const Arguments& arguments) {
  switch (arguments.command) {
    case Command::serve:
      return serve_command(arguments);
    case Command::run:
      return run_pipelines_command(arguments);
    case Command::backfill:
      return backfill_command(arguments);
    case Command::demo:
      return demo_command(arguments);
    case Command::check:
      return check_command(arguments);
    case Command::plan:
      return plan_command(arguments);
    case Command::discover:
      return discover_command(arguments);
    case Command::preview:
      return preview_command(arguments);
    case Command::quarantine_list:
    case Command::quarantine_show:
    case Command::quarantine_replay:
    case Command::quarantine_drop:
      return quarantine_command(arguments);
    case Command::status:
      return status_command(arguments);
    case Command::runs:
      return runs_command(arguments);
    case Command::logs:
      return logs_command(arguments);
    case Command::trigger:
    case Command::pause:
    case Command::resume:
    case Command::cancel:
      return tell_command(arguments);
    case Command::schema:
      return schema_command();
    case Command::version:
      print_out(arguments.json ? pretty(version_json()) : version_text());
      return exit_code::done;
  }
  return exit_code::usage;
}

// One message on stderr, whole lines.
int complain(int code, std::string_view message) {
  print_err(fmt::format("sluice: {}{}", without_credentials(message), message.ends_with('\n') ? "" : "\n"));
  return code;
}

int code_of(const Refusal& refusal) {
  switch (refusal.status()) {
    case 404:
    case 422:
      return exit_code::usage;
    case 409:
    case 502:
    case 503:
    case 504:
      return exit_code::temporary;
    default:
      return exit_code::failed;
  }
}

}  // namespace

int schema_command() {
  print_out(pretty(json_schema(built_in_kinds())));
  return exit_code::done;
}

int run_command(const Arguments& arguments) {
  try {
    return dispatch(arguments);
  } catch (const Failure& failure) {
    return complain(failure.code(), failure.what());
  } catch (const Refusal& refusal) {
    return complain(code_of(refusal), refusal.what());
  } catch (const Unresolved& reference) {
    return complain(exit_code::configuration, reference.what());
  } catch (const Error& error) {
    return complain(error.passing() ? exit_code::temporary : exit_code::failed, error.what());
  } catch (const boost::system::system_error& error) {
    return complain(exit_code::failed, error.code().message());
  } catch (const std::exception&) {
    const auto error = error_of(std::current_exception());
    return complain(error.passing() ? exit_code::temporary : exit_code::failed, error.what());
  }
}

}  // namespace sluice
