#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "sandbox/faults.hpp"
#include "sandbox/google_rows.hpp"
#include "sandbox/prepared_rows.hpp"
#include "sandbox/world.hpp"

namespace sluice::sandbox {

struct Request;
struct Reply;
class GoogleReport;

// The simulated Google Ads API: the token endpoint, searchStream and search, field metadata, and a manager with the
// world's accounts below it. Whoever asks for a token with the refresh token "sandbox-refresh", or with a signed
// assertion, gets one.
class Google {
 public:
  Google(const World& world, Faults& faults) : world_(world), faults_(faults) {}

  static bool serves(std::string_view path);
  Reply answer(const Request& request, const std::string& path, const std::string& subject, Instant now);
  std::int64_t rows_served() const { return rows_served_; }
  std::int64_t operations() const { return operations_; }
  void forget() { rows_served_ = operations_ = 0; }

 private:
  struct Answer;

  Reply token(const Request& request, const std::string& subject);
  Reply api(const Request& request, const std::string& path, const std::string& subject, Instant now);
  void authorize(const Request& request, std::string_view version, const std::string& subject) const;
  void refuse_by_fault(const std::string& subject);
  const Account* customer(const std::string& number, const Request& request, const std::string& subject);
  Answer run(const Account* account, const GoogleQuery& query, Instant now);
  void clients(const GoogleQuery& query, Answer& answer) const;
  std::string fields(const std::string& text);
  Reply prepared_stream(const Account& account, const GoogleReport& report);
  std::string as_stream(const Answer& answer, const std::string& subject);
  std::string as_page(const Answer& answer, const std::string& page_token, const std::string& subject);

  const World& world_;
  Faults& faults_;
  std::map<std::tuple<int, std::string, std::string>, std::shared_ptr<const PreparedRows>> prepared_;  // by report
  std::int64_t rows_served_ = 0, operations_ = 0;
};

}  // namespace sluice::sandbox
