#include "daemon/phrases.hpp"

namespace sluice {

std::string short_duration(Duration d) {
  using namespace std::chrono;
  const auto ms = duration_cast<milliseconds>(d).count();
  if (ms < 1000) return fmt::format("{}ms", ms);
  if (ms < 60'000) return fmt::format("{}.{}s", ms / 1000, ms % 1000 / 100);
  const auto s = ms / 1000;
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86'400) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d{:02}h", s / 86'400, s % 86'400 / 3600);
}

std::string grouped(std::int64_t n) {
  auto text = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string counts_phrase(const Counts& c) {
  std::string parts;
  const auto add = [&](std::int64_t n, const char* what) {
    if (n != 0) parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", grouped(n), what);
  };
  add(c.inserted, "inserted");
  add(c.updated, "updated");
  add(c.unchanged, "unchanged");
  add(c.deleted, "deleted");
  add(c.duplicate, "duplicate");
  add(c.filtered, "filtered");
  add(c.quarantined, "quarantined");
  if (c.read == 0) return parts.empty() ? "no rows" : "no rows: " + parts;
  return fmt::format("read {}: {}", grouped(c.read), parts);
}

std::string run_sentence(const RunEnded& run) {
  auto text = fmt::format("{} in {}: {} {}", to_string(run.outcome), short_duration(run.took), run.slices_published,
                          run.slices_published == 1 ? "slice" : "slices");
  if (run.slices_failed > 0) text += fmt::format(", {} failed", run.slices_failed);
  text += ", " + counts_phrase(run.counts);
  if (!run.message.empty()) text += "; " + run.message;
  return text;
}

}  // namespace sluice
