#include "tests/support/postgres_cluster.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <vector>

namespace sluice::test {
namespace {

namespace fs = std::filesystem;

std::string newest_server() {
  std::vector<std::pair<int, std::string>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored))
    if (fs::exists(entry.path() / "bin/initdb"))
      found.emplace_back(std::stoi(entry.path().filename()), entry.path() / "bin");
  if (found.empty()) throw std::runtime_error("the tests need a PostgreSQL server: apt-get install postgresql");
  return std::max_element(found.begin(), found.end())->second;
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(fd);
  if (!bound) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

PostgresCluster& PostgresCluster::instance() {
  static PostgresCluster cluster;
  return cluster;
}

PostgresCluster::PostgresCluster() : bin_(newest_server()), port_(free_port()) {
  std::string pattern = (fs::temp_directory_path() / "sluice_pg_XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  if (::geteuid() == 0) run("chown postgres " + folder_);
  run(as_server(fmt::format("{}/initdb -D {}/data -U postgres -A trust -E UTF8 --locale=C --no-sync", bin_, folder_)));
  std::ofstream settings(folder_ + "/data/postgresql.conf", std::ios::app);
  settings << fmt::format(
      "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 50\n"
      "shared_buffers = 64MB\nautovacuum = off\nlog_min_messages = fatal\nmax_wal_size = 4GB\n",
      port_, folder_);
  settings.close();
  start();
  stop_after_us();
}

PostgresCluster::~PostgresCluster() {
  try {
    stop_immediately();
  } catch (const std::exception&) {  // it was stopped by a test
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

// A test program that is killed would leave its server behind.
void PostgresCluster::stop_after_us() const {
  const auto stop = as_server(fmt::format("{}/pg_ctl -D {}/data -m immediate stop", bin_, folder_));
  const auto wait =
      fmt::format("while kill -0 {} 2>/dev/null; do sleep 1; done; {}; rm -rf {}", ::getpid(), stop, folder_);
  run(fmt::format("setsid sh -c {} > /dev/null 2>&1 &", shell_quoted(wait)));
}

void PostgresCluster::start() {
  run(as_server(fmt::format("{0}/pg_ctl -D {1}/data -w -t 60 -l {1}/log start", bin_, folder_)));
}

void PostgresCluster::stop_immediately() {
  run(as_server(fmt::format("{}/pg_ctl -D {}/data -m immediate -w stop", bin_, folder_)));
}

void PostgresCluster::encrypt(const std::string& certificate, const std::string& key) {
  for (const auto& [from, name] : {std::pair(certificate, "server.crt"), std::pair(key, "server.key")}) {
    const auto to = folder_ + "/data/" + name;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
    fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write);
    if (::geteuid() == 0) run("chown postgres " + to);
  }
  switch_tls("off");  // so that a certificate that was there before is read anew
  switch_tls("on");
}

void PostgresCluster::encrypt_no_more() {
  switch_tls("off");
}

void PostgresCluster::switch_tls(const std::string& to) {
  psql("postgres", "ALTER SYSTEM SET ssl = " + to);
  psql("postgres", "SELECT pg_reload_conf()");
  for (int tries = 0; psql("postgres", "SHOW ssl") != to && tries < 50; ++tries) ::usleep(20'000);
}

std::vector<std::string> PostgresCluster::as_server_user(std::vector<std::string> command) const {
  if (::geteuid() != 0) return command;
  const std::vector<std::string> change{"/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"};
  command.insert(command.begin(), change.begin(), change.end());
  return command;
}

std::string PostgresCluster::fresh_database() {
  const auto name = fmt::format("test_{}", ++databases_);
  psql("postgres", "DROP DATABASE IF EXISTS " + name + " WITH (FORCE)");
  psql("postgres", "CREATE DATABASE " + name);
  return name;
}

std::string PostgresCluster::url(const std::string& database) const {
  return fmt::format("host={} port={} user=postgres dbname={}", folder_, port_, database);
}

std::string PostgresCluster::tcp_url(const std::string& database, int port) const {
  return fmt::format("postgresql://postgres@127.0.0.1:{}/{}?sslmode=disable", port == 0 ? port_ : port, database);
}

std::string PostgresCluster::psql(const std::string& database, const std::string& sql) const {
  return run(fmt::format("{}/psql -X -q -A -t -v ON_ERROR_STOP=1 -h {} -p {} -U postgres -d {} -c {}", bin_, folder_,
                         port_, database, shell_quoted(sql)));
}

std::string PostgresCluster::as_server(const std::string& command) const {
  return ::geteuid() == 0 ? "runuser -u postgres -- " + command : command;
}

std::string PostgresCluster::run(const std::string& command) const {
  std::string output;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(("cd /; exec 2>&1 < /dev/null; " + command).c_str(), "r"),
                                             &::pclose);
  if (!pipe) throw std::runtime_error("popen failed");
  std::array<char, 4096> buffer;
  while (const auto size = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) output.append(buffer.data(), size);
  if (::pclose(pipe.release()) != 0) throw std::runtime_error(command + ": " + output);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

}  // namespace sluice::test
