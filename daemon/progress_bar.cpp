#include "daemon/progress_bar.hpp"

#include "daemon/phrases.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration redraw_every = 100ms;
constexpr Duration say_every = 5s;
constexpr std::string_view take_away = "\r\x1b[K";
constexpr int bar_cells = 24;

}  // namespace

std::int64_t ProgressBar::Run::total_rows() const {
  auto sum = rows;
  for (const auto& [slice, count] : in_flight) sum += count;
  return sum;
}

// True when the event is about progress.
bool ProgressBar::note(const Event& event, Duration uptime) {
  if (const auto* e = std::get_if<RunStarted>(&event)) {
    auto& run = runs_[e->run];
    run.pipeline = e->pipeline;
    run.started = uptime;
    return true;
  }
  const auto of = [&](const std::string& id) {
    const auto at = runs_.find(id);
    return at == runs_.end() ? nullptr : &at->second;
  };
  if (const auto* e = std::get_if<RunPlanned>(&event)) {
    if (auto* run = of(e->run)) run->planned = e->slices;
    return true;
  }
  if (const auto* e = std::get_if<SliceProgress>(&event)) {
    if (auto* run = of(e->run)) run->in_flight[e->stream + '/' + e->slice] = e->rows;
    return true;
  }
  if (const auto* e = std::get_if<SliceEnded>(&event)) {
    if (auto* run = of(e->run)) {
      run->in_flight.erase(e->stream + '/' + e->slice);
      ++run->ended;
      run->rows += e->counts.read;
      if (e->outcome == SliceOutcome::failed) ++run->failed;
    }
    return true;
  }
  return false;
}

std::string ProgressBar::on(const Event& event, Duration uptime) {
  if (const auto* ended = std::get_if<RunEnded>(&event)) {
    auto text = clear() + final_line(*ended) + '\n';
    runs_.erase(ended->run);
    last_ = uptime;
    return text;
  }
  if (!note(event, uptime) || runs_.empty()) return {};
  if (uptime - last_ < (terminal_.interactive ? redraw_every : say_every)) return {};
  last_ = uptime;
  if (!terminal_.interactive) return plain_line(uptime);
  drawn_ = true;
  return std::string(take_away) + bar_line(uptime);
}

std::string ProgressBar::clear() {
  return std::exchange(drawn_, false) ? std::string(take_away) : std::string();
}

std::string ProgressBar::final_line(const RunEnded& ended) const {
  const auto colour = ended.outcome == Outcome::succeeded ? Colour::green
                      : ended.outcome == Outcome::failed  ? Colour::red
                                                          : Colour::yellow;
  return fmt::format("{} {}", paint(ended.pipeline, Colour::bold, terminal_.colour),
                     paint(run_sentence(ended), colour, terminal_.colour));
}

std::string ProgressBar::bar_line(Duration uptime) const {
  std::int64_t planned = 0, ended = 0, rows = 0;
  Duration longest{};
  std::string names;
  for (const auto& [id, run] : runs_) {
    planned += run.planned;
    ended += run.ended;
    rows += run.total_rows();
    longest = std::max(longest, uptime - run.started);
    names += (names.empty() ? "" : ", ") + run.pipeline;
  }
  const auto share = planned > 0 ? std::min(1.0, static_cast<double>(ended) / static_cast<double>(planned)) : 0.0;
  const auto full = static_cast<std::size_t>(share * bar_cells);
  std::string bar;
  for (std::size_t i = 0; i < bar_cells; ++i) bar += i < full ? "█" : "░";
  auto text = fmt::format("{} {} {}/{} slices, {} rows", names, bar, ended,
                          planned == 0 ? "?" : std::to_string(planned), grouped(rows));
  if (longest > 1s)
    text += fmt::format(", {}/s", grouped(static_cast<std::int64_t>(static_cast<double>(rows) /
                                                                    std::chrono::duration<double>(longest).count())));
  text += ", " + short_duration(longest);
  if (ended > 0 && ended < planned)
    text += ", about " + short_duration(std::chrono::duration_cast<Duration>(longest * (1 / share - 1))) + " left";
  return cut(text, static_cast<std::size_t>(std::max(terminal_.width - 1, 20)));
}

std::string ProgressBar::plain_line(Duration uptime) const {
  std::string text;
  for (const auto& [id, run] : runs_)
    text += fmt::format("{}: {}/{} slices, {} rows, {}\n", run.pipeline, run.ended,
                        run.planned == 0 ? "?" : std::to_string(run.planned), grouped(run.total_rows()),
                        short_duration(uptime - run.started));
  return text;
}

}  // namespace sluice
