#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/time.hpp"

namespace sluice {

// What a wall-clock job does where its time is skipped or repeated by a change of the clocks.
enum class Dst {
  once,  // inside a gap: at the first instant after it; inside a fold: the first time only
  skip,  // inside a gap: not at all; inside a fold: the first time only
  both   // inside a gap: at the first instant after it; inside a fold: both times
};
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

  // The first fire strictly after `after`; nothing when there is none within forty years, the longest that a leap day
  // on a given weekday keeps one waiting.
  std::optional<Instant> next(Instant after, const Zone& zone, Dst dst) const;
  // Both day fields are restricted, which surprises many: worth a warning.
  bool either_day() const { return !days_any_ && !weekdays_any_; }
  const std::string& text() const { return text_; }
  bool operator==(const Cron& other) const { return text_ == other.text_; }

 private:
  std::optional<cctz::civil_second> match(cctz::civil_second from) const;
  std::optional<cctz::civil_second> match_in_day(Day day, int hour, int minute, int second) const;
  std::uint32_t days_of(Day first_of_month) const;
  bool ever_matches() const;
  std::optional<Instant> next_on_the_wall(Instant after, const Zone& zone, Dst dst) const;
  std::optional<Instant> next_elapsed(Instant after, const Zone& zone, bool fire_after_gaps) const;

  std::string text_;
  std::uint64_t seconds_ = 1, minutes_ = 0;  // bit i: i matches
  std::uint32_t hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;
  bool days_any_ = false, weekdays_any_ = false;  // the field begins with *: it does not open the either-or
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
  // The stable offset of this pipeline, in [0, jitter): from its name, so that it is the same at each fire and on every
  // machine. Whole milliseconds: thousands of pipelines do not meet at the same seconds.
  Duration offset(std::string_view pipeline) const;

  bool operator==(const Schedule& other) const;
};

}  // namespace sluice
