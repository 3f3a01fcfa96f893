#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/time.hpp"

namespace sluice {

// What a wall-clock job does where its time is skipped or repeated by a change of the clocks.
enum class Dst { once, skip, both };
// What becomes of fires that fell due while nobody was there to run them.
enum class Missed { latest, all, none };
// What happens while the previous run is still going.
enum class Overlap { skip, queue, replace };

// A cron expression: 5 fields (minute hour day month weekday) or 6 with seconds first. Names, lists, ranges, steps,
// @hourly @daily @weekly @monthly. Day of month and weekday both restricted: either matches (Vixie).
class Cron {
 public:
  // Nothing, and a message for the user in `fault`, when the expression is wrong or can never match.
  static std::optional<Cron> parse(std::string_view text, std::string& fault);

  // The first fire strictly after `after`; nothing when there is none within eight years.
  std::optional<Instant> next(Instant after, const Zone& zone, Dst dst) const;
  // Both day fields are restricted, which surprises many: worth a warning.
  bool either_day() const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::uint64_t seconds_ = 0, minutes_ = 0;  // bit i: i matches
  std::uint32_t hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;
  bool days_any_ = false, weekdays_any_ = false;
  bool elapsed_ = false;  // hour field is * or a step: follows elapsed time, DST does not matter
};

// When a pipeline fires, and what becomes of fires that cannot run.
struct Schedule {
  std::variant<std::monostate, Cron, Duration, std::vector<std::string>> when;  // by hand only, cron, every, after
  Zone zone = utc();
  std::string zone_name = "UTC";
  Dst dst = Dst::once;
  Missed missed = Missed::latest;
  std::optional<Duration> start_deadline;
  Overlap overlap = Overlap::skip;
  Duration jitter{};

  // The planned instant of the next fire strictly after `after`, without jitter; nothing for `after` and by-hand.
  std::optional<Instant> next(Instant after) const;
  // The stable offset of this pipeline, in [0, jitter): from its name.
  Duration offset(std::string_view pipeline) const;
};

}  // namespace sluice
