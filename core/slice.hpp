#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/time.hpp"

namespace sluice {

// One line of progress. `lane` is "live", "sweep", or a backfill's name; `partition` an account, an event, or "".
struct LaneId {
  std::string pipeline;
  std::string stream;
  std::string partition;
  std::string lane;

  LaneId(std::string p, std::string s, std::string part, std::string l)
      : pipeline(std::move(p)), stream(std::move(s)), partition(std::move(part)), lane(std::move(l)) {}
  auto operator<=>(const LaneId&) const = default;
};

// How far a lane has been loaded, as its sink remembers it.
struct Progress {
  // ISO date, RFC 3339, or the value as the source printed it; nothing: never loaded.
  std::optional<std::string> done_to;
  // The fence: each publish expects the one it read and leaves the next.
  std::int64_t version = 0;
  std::optional<Instant> updated_at;
  bool operator==(const Progress&) const = default;
};

// An independent part of a stream: an ad account, a customer, an event name.
struct Partition {
  std::string id;
  Zone zone = utc();
  std::string name;    // for people
  bool active = true;  // false: reported once, left out
  std::string inactive_reason;

  explicit Partition(std::string i, Zone z = utc(), std::string n = {})
      : id(std::move(i)), zone(z), name(std::move(n)) {}
};

// Civil days [from, to) of the partition's zone.
struct DayWindow {
  Day from, to;
  bool operator==(const DayWindow&) const = default;
};
// What `Slice::window` says of days, read again; nothing where it is of another kind.
std::optional<DayWindow> parse_day_window(std::string_view text);
// Everything that changed after `after` (exclusive; nothing: from the beginning) up to `upto`, the horizon.
struct ValueRange {
  std::optional<std::string> after;
  std::string upto;
  bool operator==(const ValueRange&) const = default;
};
struct Whole {
  bool operator==(const Whole&) const = default;
};

// The unit of work: extracted, retried, published, resumed and re-run as a whole.
class Slice {
 public:
  static Slice days(Partition p, Day from, Day to) { return Slice(std::move(p), DayWindow{from, to}); }
  static Slice values(Partition p, std::optional<std::string> after, std::string upto) {
    return Slice(std::move(p), ValueRange{std::move(after), std::move(upto)});
  }
  static Slice whole(Partition p) { return Slice(std::move(p), Whole{}); }

  const Partition& partition() const { return partition_; }
  const DayWindow* day_window() const { return std::get_if<DayWindow>(&extent_); }
  const ValueRange* value_range() const { return std::get_if<ValueRange>(&extent_); }
  // What it covers, as text: "2026-03-01", "2026-03-01..2026-03-07" (inclusive), "(…, …]", "all". Never the partition.
  std::string window() const;
  // Partition and window: "act_1/2026-03-01".
  std::string id() const;

 private:
  Slice(Partition p, std::variant<DayWindow, ValueRange, Whole> extent)
      : partition_(std::move(p)), extent_(std::move(extent)) {}
  Partition partition_;
  std::variant<DayWindow, ValueRange, Whole> extent_;
};

// The slice of which `Slice::id` is this, its partition in UTC and without a name; nothing where no slice has it.
std::optional<Slice> parse_slice(std::string_view id);

}  // namespace sluice
