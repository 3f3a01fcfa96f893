#pragma once
#include <string>

namespace sluice::test {

// A private authority that signs certificates into a folder, as PEM files.
class Authority {
 public:
  explicit Authority(std::string folder, const std::string& name = "test authority");
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // The authority's own certificate: what a client trusts.
  const std::string& ca_file() const { return ca_file_; }

  struct Issued {
    std::string certificate, key;  // files
  };
  // `subject_names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1". Valid from `from_days` to `to_days` from now.
  Issued issue(const std::string& file_name, const std::string& subject_names, int from_days = -1, int to_days = 30);

 private:
  struct Parts;
  Parts* parts_;
  std::string folder_, ca_file_;
};

}  // namespace sluice::test
