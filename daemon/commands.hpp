#pragma once
#include "daemon/app.hpp"

namespace sluice {

// Does the command and gives the process's exit code. Everything that is thrown ends here.
int run_command(const Arguments& arguments);

// Each does one command and gives its exit code. Failures are thrown.
int serve_command(const Arguments& arguments);
int run_pipelines_command(const Arguments& arguments);
int backfill_command(const Arguments& arguments);
int demo_command(const Arguments& arguments);

int check_command(const Arguments& arguments);
int plan_command(const Arguments& arguments);
int discover_command(const Arguments& arguments);
int preview_command(const Arguments& arguments);
int quarantine_command(const Arguments& arguments);

int status_command(const Arguments& arguments);
int runs_command(const Arguments& arguments);
int logs_command(const Arguments& arguments);
// trigger, pause, resume, cancel
int tell_command(const Arguments& arguments);

int schema_command();

}  // namespace sluice
