#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/options.hpp"

namespace sluice::sandbox {

// What the users of one app did: the same for the same seed. It knows nothing of HTTP. With `rows_per_day` each event
// happens so often on every day, all in time, and days differ in their dates alone.
class AppWorld {
 public:
  explicit AppWorld(const Options& options);

  struct EventKind {
    std::string_view name;
    int least, most;  // a day
    bool exportable;
  };
  static const std::vector<EventKind>& kinds();

  struct Event {
    int kind = 0;
    Day day;
    int number = 0;  // of its day
  };
  // What of these days, both inclusive, had arrived by then: phones send late what was done offline.
  std::vector<Event> events(int kind, Day from, Day to, Instant now) const;
  std::int64_t count(int kind, Day from, Day to, Instant now) const;

  struct Include {
    bool app = false, events = false, profile = false;
  };
  std::string record(const Event& event, const Include& include, Instant now) const;
  // The people behind the events, each once.
  std::vector<int> people(const std::vector<Event>& events) const;
  std::string profile(int person, const Include& include, Instant now) const;

  struct Campaign {
    std::int64_t id = 0;
    std::string name;
    Instant scheduled;
  };
  std::vector<Campaign> campaigns(Day from, Day to) const;
  const Zone& zone() const { return zone_; }
  bool same_every_day() const { return exact_ > 0; }

 private:
  struct Moment {
    Instant happened, arrived;
  };
  Moment moment(const Event& event) const;
  std::uint64_t hash(const Event& event) const;
  int of_day(int kind, Day day) const;
  int person_of(const Event& event) const;
  std::string identity_members(int person) const;
  std::string more_members(int person, const Include& include, Instant now) const;
  std::string properties(const Event& event) const;

  std::uint64_t seed_;
  int exact_;  // rows_per_day
  Zone zone_;
};

// "20260301093000"
std::string app_stamp(Instant when, const Zone& zone);

}  // namespace sluice::sandbox
