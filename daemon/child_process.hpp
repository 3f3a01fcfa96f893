#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace sluice {

// A program beside our own that lives no longer than we do: its standard input is a pipe from us, and it ends when that
// closes. Throws Error(give_up) when it cannot be started.
class ChildProcess {
 public:
  ChildProcess(const std::string& program, std::vector<std::string> arguments);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // The next line of its standard output; empty when it has ended. Blocks.
  std::string read_line();

 private:
  int input_ = -1, output_ = -1;
  pid_t pid_ = -1;
};

// The folder that our own program lies in.
std::string program_folder();

}  // namespace sluice
