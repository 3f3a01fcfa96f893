#include "core/events.hpp"

namespace sluice {

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::succeeded:
      return "succeeded";
    case Outcome::partial:
      return "partial";
    case Outcome::failed:
      return "failed";
    case Outcome::cancelled:
      return "cancelled";
  }
  return {};
}

std::string_view to_string(SliceOutcome outcome) {
  switch (outcome) {
    case SliceOutcome::published:
      return "published";
    case SliceOutcome::failed:
      return "failed";
    case SliceOutcome::superseded:
      return "superseded";
    case SliceOutcome::skipped:
      return "skipped";
  }
  return {};
}

}  // namespace sluice
