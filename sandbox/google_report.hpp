#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/google_rows.hpp"
#include "sandbox/prepared_rows.hpp"

namespace sluice::sandbox {

// What a query of one customer gives at that time. World and query outlive it.
class GoogleReport {
 public:
  // Throws GoogleError where the API refuses the query.
  GoogleReport(const World& world, const Account& account, const GoogleQuery& query, Instant now);

  const std::string& from() const { return query_.from; }
  const std::string& mask() const { return writer_.mask(); }
  // Each the text of an object.
  std::vector<std::string> rows() const;

  // Each of `days` has the rows of the first, but for their dates: so it is in an exact world.
  bool same_every_day() const;
  PreparedRows rows_of_a_day() const;
  // First and last.
  const std::pair<Day, Day>& days() const { return *days_; }

 private:
  // The rows of these days, one day after another.
  void write(const std::pair<Day, Day>& days, const std::function<void(std::string_view)>& add) const;

  const World& world_;
  const GoogleQuery& query_;
  Instant now_;
  Day today_;
  std::optional<std::pair<Day, Day>> days_;
  GoogleRowWriter writer_;
  std::vector<GoogleRow> objects_;
};

}  // namespace sluice::sandbox
