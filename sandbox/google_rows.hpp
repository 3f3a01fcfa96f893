#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/google_query.hpp"
#include "sandbox/world.hpp"

namespace sluice::sandbox {

// What a row of Google's API is about; what does not apply is null.
struct GoogleRow {
  const Account* account = nullptr;
  const Object* campaign = nullptr;
  const Object* ad_group = nullptr;
  const Object* ad = nullptr;
  Day day;
  int nth = 0;  // of several for one object and day: a keyword, a search term, a country, a click, a change
  std::uint64_t hash = 0;
  std::int64_t impressions = 0, clicks = 0, cost_micros = 0;
};

// Google numbers its customers with ten digits.
std::int64_t customer_number(const Account& account);
inline constexpr std::int64_t manager_number = 1'000'000'001;

// When a change was made, as Google writes it: in the customer's zone, without saying so.
std::string google_change_time(const GoogleRow& row);

// Writes rows with the fields of one query, as canonical proto JSON.
class GoogleRowWriter {
 public:
  // Throws GoogleError(UNRECOGNIZED_FIELD).
  GoogleRowWriter(const World& world, const GoogleQuery& query, Instant now);
  void write(const GoogleRow& row, std::string& out) const;
  // "campaign.id,metrics.costMicros"
  const std::string& mask() const { return mask_; }

  using Write = void (*)(const GoogleRowWriter&, const GoogleRow&, std::string&);
  const World& world() const { return world_; }
  Instant now() const { return now_; }

 private:
  struct Piece {
    std::string before;  // names and brackets
    Write value;
  };
  const World& world_;
  Instant now_;
  std::vector<Piece> pieces_;
  std::string end_, mask_;
};

// What the field metadata service says of a field: "INT64", …; nothing: there is no such field.
std::optional<std::string_view> google_data_type(std::string_view field);

}  // namespace sluice::sandbox
