#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sandbox/options.hpp"

namespace sluice::sandbox {

enum class Kind { campaign, adset, ad, creative };

// "campaign", "adset", "ad", "creative"
std::string_view kind_name(Kind kind);

// A campaign, ad set, ad or creative. What it looks like depends on when one looks: see World.
struct Object {
  Kind kind = Kind::ad;
  std::int64_t id = 0;
  std::uint64_t hash = 0;
  int account = 0;
  int parent = -1;    // index of the campaign or ad set it belongs to
  int creative = -1;  // of an ad
  std::string name;
  std::string quoted_name;
  Instant created;
  Duration period{};             // something about it is edited that often
  std::optional<Instant> ended;  // from then on its status is end_status
  std::string_view end_status;   // PAUSED, ARCHIVED or DELETED
  std::string_view issue;        // DISAPPROVED or WITH_ISSUES while it would be active
};

struct Account {
  int index = 0;
  std::int64_t id = 0;
  std::string name;
  std::string quoted_name;
  std::string currency;
  int decimals = 2;  // of the currency
  std::string zone_name;
  int zone_id = 0;
  Zone zone;
  int status = 1;  // 1 active, 2 disabled
  Instant created;
  std::int64_t business_id = 0;
  std::array<std::vector<Object>, 4> objects;  // by Kind

  const std::vector<Object>& of(Kind kind) const { return objects[static_cast<std::size_t>(kind)]; }
};

// The advertisers, and what they made: the same for the same seed. It knows nothing of HTTP.
class World {
 public:
  explicit World(const Options& options);

  const std::vector<Account>& accounts() const { return accounts_; }
  const Account* account(std::int64_t id) const;
  const Object* object(std::int64_t id) const;
  const Account& account_of(const Object& object) const { return accounts_[static_cast<std::size_t>(object.account)]; }
  // The campaign of an ad set, the ad set of an ad.
  const Object& parent(const Object& object) const;
  // The object of that kind above (or at) this one.
  const Object& above(const Object& object, Kind kind) const;
  const Object& creative_of(const Object& ad) const;

  std::string_view status(const Object& object, Instant now) const;
  std::string_view effective_status(const Object& object, Instant now) const;
  Instant updated(const Object& object, Instant now) const;
  // How often it was edited until then.
  std::int64_t edits(const Object& object, Instant now) const;
  // When the object, or one above it, stopped running; nothing while it runs.
  std::optional<Instant> stopped(const Object& object) const;

  // Somebody pauses, archives or deletes an object. False when there is none of that id or the status is unknown.
  bool end(std::int64_t id, std::string_view status, Instant when);

  std::uint64_t seed() const { return seed_; }
  // Every ad delivers on every day, and nothing is restated.
  bool exact() const { return exact_; }

 private:
  void make_account(int index, const Options& options);
  void make_objects(Account& account, Kind kind, int count);

  std::uint64_t seed_;
  bool exact_;
  std::vector<Account> accounts_;
  std::unordered_map<std::int64_t, Object*> by_id_;
};

}  // namespace sluice::sandbox
