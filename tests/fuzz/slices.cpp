#include "core/slice.hpp"
#include "tests/fuzz/fuzz.hpp"

// The id of a slice, as users write it and as the quarantine keeps it, leads back to the same slice.

using namespace sluice;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if (const auto slice = parse_slice(input.rest())) {
    if (const auto* days = slice->day_window()) require(days->from < days->to, "a window of days is not empty");
    const auto again = parse_slice(slice->id());
    require(again.has_value(), "the id of a slice is one");
    require(again->id() == slice->id() && again->partition().id == slice->partition().id,
            "the id of a slice is that of the same slice");
  }

  const auto from = Day(2024, 2, 20) + static_cast<int>(input.pick(256));
  const auto to = from + 1 + static_cast<int>(input.pick(256));
  const Partition partition{std::string(input.rest())};
  const auto days = parse_slice(Slice::days(partition, from, to).id());
  require(
      days && days->day_window() && *days->day_window() == DayWindow{from, to} && days->partition().id == partition.id,
      "days of any partition come back");
  const auto whole = parse_slice(Slice::whole(partition).id());
  require(whole && !whole->day_window() && !whole->value_range() && whole->partition().id == partition.id,
          "a whole partition comes back");
  return 0;
}
