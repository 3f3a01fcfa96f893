#pragma once
#include <string>
#include <vector>

namespace sluice::test {

// A PostgreSQL server of this test program's own, in a temporary folder, made when it is first asked for and removed
// when the program ends. It listens on a Unix socket and on a loopback port, trusts everybody, and syncs nothing.
class PostgresCluster {
 public:
  static PostgresCluster& instance();
  ~PostgresCluster();

  // Makes an empty database and gives its name. The user postgres is a superuser and has no password.
  std::string fresh_database();
  std::string url(const std::string& database) const;                    // by the Unix socket
  std::string tcp_url(const std::string& database, int port = 0) const;  // 0: the server's own port; without TLS
  int port() const { return port_; }
  const std::string& folder() const { return folder_; }

  void stop_immediately();  // as if the machine had lost power
  void start();
  // From now on connections may be encrypted with this certificate, or no longer. Files in PEM.
  void encrypt(const std::string& certificate, const std::string& key);
  void encrypt_no_more();
  // How to start a program that has to run as the server's user, if that is not ours.
  std::vector<std::string> as_server_user(std::vector<std::string> command) const;
  // Runs SQL by psql and gives what it prints, unaligned, without headers.
  std::string psql(const std::string& database, const std::string& sql) const;

 private:
  PostgresCluster();
  void stop_after_us() const;
  void switch_tls(const std::string& to);
  std::string run(const std::string& command) const;
  std::string as_server(const std::string& command) const;
  std::string bin_, folder_;
  int port_ = 0;
  int databases_ = 0;
};

}  // namespace sluice::test
