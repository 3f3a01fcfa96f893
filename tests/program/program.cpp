#include "tests/program/program.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/task.hpp"
#include "tests/support/folder.hpp"

extern char** environ;

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string lines_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  std::string some;
  for (std::string line; std::getline(lines, line);)
    if (line.find(part) != std::string::npos) some += line + '\n';
  return some;
}

// Ours, without what would lead a test astray, and with what it asks for.
std::vector<std::string> environment_with(const std::map<std::string, std::string>& more) {
  std::vector<std::string> all;
  for (char** at = environ; *at; ++at) {
    const std::string_view entry(*at);
    if (entry.starts_with("NOTIFY_SOCKET=") || entry.starts_with("SLUICE_") || entry.starts_with("STATE_DIRECTORY=") ||
        more.contains(std::string(entry.substr(0, entry.find('=')))))
      continue;
    all.emplace_back(entry);
  }
  for (const auto& [name, value] : more) all.push_back(name + '=' + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Program::Program(const std::string& name, std::vector<std::string> arguments,
                 std::map<std::string, std::string> environment) {
  arguments.insert(arguments.begin(), (binary_dir() / name).string());
  auto variables = environment_with(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, (folder_ / "out").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "err").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  auto argv = pointers(arguments);
  auto envp = pointers(variables);
  const int fault = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (fault != 0) throw std::runtime_error("cannot start " + name);
}

Program::~Program() {
  if (code_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const {
  ::kill(pid_, number);
}

int Program::wait(int seconds) {
  const auto end = Steady::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (!code_) {
    if (::waitpid(pid_, &status, WNOHANG) == pid_)
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    else if (Steady::now() > end)
      FAIL("the program does not end; it said:\n" << out() << err());
    else
      std::this_thread::sleep_for(10ms);
  }
  return *code_;
}

std::string Program::out() const {
  return slurp(folder_ / "out");
}
std::string Program::err() const {
  return slurp(folder_ / "err");
}

SandboxProgram::SandboxProgram(std::vector<std::string> more) {
  std::vector<std::string> arguments{"--port", "0",  "--exit-with-parent", "--accounts", "2",
                                     "--ads",  "10", "--report-delay",     "50ms"};
  for (const auto& argument : more) {
    const auto known = std::find(arguments.begin(), arguments.end(), argument);
    if (known != arguments.end()) arguments.erase(known, known + 2);
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  child_ = std::make_unique<ChildProcess>((binary_dir() / "sluice-sandbox").string(), arguments);
  const auto line = child_->read_line();
  url_ = line.substr(std::min(line.find("http"), line.size()));
  if (url_.empty()) throw std::runtime_error("the sandbox did not start: " + line);
}

unsigned short SandboxProgram::port() const {
  return static_cast<unsigned short>(std::stoi(url_.substr(url_.rfind(':') + 1)));
}

void SandboxProgram::fault(const std::string& name, const std::string& arg) const {
  const nlohmann::json body{{"name", name}, {"arg", arg}};
  const auto answer = exchange(port(), "POST", "/sandbox/fault", body.dump());
  if (answer.find(" 200 ") == std::string::npos) throw std::runtime_error("the sandbox says " + answer);
}

void SandboxProgram::mend() const {
  exchange(port(), "DELETE", "/sandbox/fault", "");
}

int SandboxProgram::struck(const std::string& fault) const {
  const auto answer = fetch(port(), "/sandbox/log");
  const auto log = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")));
  return log["faults"].value(fault, 0);
}

void wait_until(const char* what, const std::function<bool()>& so, int seconds) {
  const auto end = Steady::now() + std::chrono::seconds(seconds);
  while (!so()) {
    if (Steady::now() > end) FAIL("it never came to this: " << what);
    std::this_thread::sleep_for(10ms);
  }
}

std::string fetch(unsigned short port, const std::string& path) {
  return exchange(port, "GET", path, "");
}

std::string exchange(unsigned short port, const std::string& method, const std::string& path, const std::string& body) {
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  error_code fault;
  socket.connect({asio::ip::address_v4::loopback(), port}, fault);
  if (fault) return {};
  const auto length = body.empty() ? "" : fmt::format("Content-Length: {}\r\n", body.size());
  const auto request =
      fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n{}", method, path, length, body);
  asio::write(socket, asio::buffer(request), fault);
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), fault);
  return answer;
}

std::string fetch_until(unsigned short port, const std::string& path, const std::string& text, int seconds) {
  const auto end = Steady::now() + std::chrono::seconds(seconds);
  for (;;) {
    const auto answer = fetch(port, path);
    if (answer.find(text) != std::string::npos) return answer;
    if (Steady::now() > end)
      FAIL(path << " never said " << text << "; what comes near:\n"
                << lines_with(answer, text.substr(0, text.find_first_of("{ "))));
    std::this_thread::sleep_for(50ms);
  }
}

unsigned short unused_port() {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  return acceptor.local_endpoint().port();
}

std::string query(const std::string& database, const std::string& sql) {
  sqlite::Database opened(database, sqlite::Access::read_only);
  auto statement = opened.prepare(sql);
  if (!statement.step() || statement.is_null(0)) return {};
  return std::string(statement.text(0));
}

std::vector<std::string> rows(const std::string& database, const std::string& table) {
  sqlite::Database opened(database, sqlite::Access::read_only);
  auto names = opened.prepare(
      fmt::format("SELECT name FROM pragma_table_info('{}') WHERE name NOT LIKE '\\_sluice%' ESCAPE '\\'", table));
  std::vector<std::string> columns;
  while (names.step()) columns.push_back(fmt::format("quote({})", names.text(0)));
  auto statement =
      opened.prepare(fmt::format("SELECT {} FROM {} ORDER BY 1", fmt::join(columns, " || ',' || "), table));
  std::vector<std::string> all;
  while (statement.step()) all.emplace_back(statement.text(0));
  return all;
}

}  // namespace sluice::test
