#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/child_process.hpp"
#include "db/sqlite.hpp"
#include "tests/support/folder.hpp"

namespace sluice::test {

// The built program `name`, started; whatever it writes is kept. Killed at the end if it still runs.
class Program {
 public:
  Program(const std::string& name, std::vector<std::string> arguments,
          std::map<std::string, std::string> environment = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  // The exit code, or 128 + the signal that ended it. Fails the test when it takes longer.
  int wait(int seconds = 60);
  pid_t pid() const { return pid_; }
  std::string out() const;
  std::string err() const;

 private:
  Folder folder_;
  pid_t pid_ = -1;
  std::optional<int> code_;
};

// The simulated API, as its own process.
class SandboxProgram {
 public:
  explicit SandboxProgram(std::vector<std::string> more = {});
  const std::string& url() const { return url_; }
  // How often this kind of fault has struck so far.
  int struck(const std::string& fault) const;
  // From now on the API is like that, until `mend`.
  void fault(const std::string& name, const std::string& arg = "") const;
  void mend() const;

 private:
  unsigned short port() const;
  std::unique_ptr<ChildProcess> child_;
  std::string url_;
};

// What a program on loopback answers, head and body; empty when nobody does.
std::string exchange(unsigned short port, const std::string& method, const std::string& path, const std::string& body);
// The same of a GET.
std::string fetch(unsigned short port, const std::string& path);
// Asks until the answer holds the text; the last answer. Fails the test after `seconds`.
std::string fetch_until(unsigned short port, const std::string& path, const std::string& text, int seconds = 60);
unsigned short unused_port();
// Looks again and again until it is so. Fails the test after `seconds`.
void wait_until(const char* what, const std::function<bool()>& so, int seconds = 60);

// One value of a database as text.
std::string query(const std::string& database, const std::string& sql);

// All of one line each: a table's rows without sluice's own columns, sorted.
std::vector<std::string> rows(const std::string& database, const std::string& table);

}  // namespace sluice::test
