#include "daemon/log.hpp"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t longest_line = 4096;  // PIPE_BUF: a line is written whole or not at all
constexpr std::size_t queue_lines = 512;
constexpr std::size_t most_folded = 256;

// Writes to a descriptor that somebody may have stopped reading: then the line is dropped, after one short wait.
class DescriptorSink final : public spdlog::sinks::sink {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}

  void log(const spdlog::details::log_msg& msg) override {
    write(msg);
    ++taken;
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  std::atomic<std::int64_t> dropped{0}, taken{0};  // lines; those that were dropped are taken too

 private:
  void write(const spdlog::details::log_msg& msg) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, stuck_ ? 0 : 250) != 1 || (ready.revents & POLLOUT) == 0) {
      stuck_ = true;
      ++dropped;
      return;
    }
    stuck_ = false;
    std::string line(msg.payload.data(), msg.payload.size());
    line += '\n';
    if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ++dropped;
  }

  int fd_;
  bool stuck_ = false;
};

// Secrets shorter than this would blank out ordinary words.
constexpr std::size_t shortest_secret = 6;

std::string without_secrets(std::string text, const std::vector<Secret>& hidden) {
  for (const auto& secret : hidden)
    for (auto at = text.find(secret.reveal()); at != std::string::npos; at = text.find(secret.reveal(), at + 3))
      text.replace(at, secret.reveal().size(), "***");
  return text;
}

}  // namespace

struct Log::Writer {
  std::shared_ptr<DescriptorSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
  std::int64_t said = 0;

  explicit Writer(int fd)
      : sink(std::make_shared<DescriptorSink>(fd)),
        pool(std::make_shared<spdlog::details::thread_pool>(queue_lines, 1)),
        logger(std::make_shared<spdlog::async_logger>("sluice", sink, pool,
                                                      spdlog::async_overflow_policy::overrun_oldest)) {
    logger->set_level(spdlog::level::trace);
    // Without memory, spdlog would print its own words.
    logger->set_error_handler([sink = sink](const std::string&) {
      ++sink->dropped;
      ++sink->taken;
    });
  }
  void say(std::string_view text) {
    ++said;
    logger->log(spdlog::level::info, spdlog::string_view_t(text.data(), text.size()));
  }
  std::int64_t overrun() const { return static_cast<std::int64_t>(pool->overrun_counter()); }
  bool idle() const { return sink->taken + overrun() >= said; }
};

Log::Log(LogOptions options) : options_(options), writer_(std::make_unique<Writer>(options.fd)) {}

Log::~Log() {
  say_all_folded();
}

void Log::flush() {
  say_all_folded();
  for (int i = 0; i < 50 && !writer_->idle(); ++i) std::this_thread::sleep_for(5ms);
}

// In the order in which they happened, each with the time of its last event.
void Log::say_all_folded() {
  std::vector<Folded*> all;
  for (auto& [key, folded] : folded_)
    if (folded.more > 0) all.push_back(&folded);
  std::sort(all.begin(), all.end(), [](const Folded* a, const Folded* b) { return a->last < b->last; });
  for (auto* folded : all) say_folded(*folded, folded->last);
}

void Log::on(const Event& event, Instant now) {
  if (std::holds_alternative<RunEnded>(event) && !options_.runs) return;
  if (const auto* sink = std::get_if<SinkState>(&event)) {
    auto& up = sink_up_.try_emplace(sink->sink, true).first->second;
    if (std::exchange(up, sink->up) == sink->up) return;
  }
  auto line = describe(event);
  if (line && line->level >= options_.level) fold_or_say(std::move(*line), now);
}

void Log::write(Level level, Instant now, std::string_view message) {
  if (level < options_.level) return;
  LogLine line;
  line.level = level;
  line.message = message;
  say(line, now);
}

void Log::fold_or_say(LogLine line, Instant now) {
  if (line.fold.empty()) return say(line, now);
  tick(now);
  auto known = folded_.find(line.fold);
  if (known == folded_.end() && !line.words.empty())
    known = std::find_if(folded_.begin(), folded_.end(),
                         [&](const auto& entry) { return entry.second.line.words == line.words; });
  if (known == folded_.end()) {
    say(line, now);
    if (folded_.size() >= most_folded) return;
    Folded entry{now, now, line.fold_for, 0, line};
    folded_.emplace(line.fold, std::move(entry));
    return;
  }
  ++known->second.more;
  known->second.last = now;
  known->second.line = std::move(line);
}

void Log::tick(Instant now) {
  for (auto at = folded_.begin(); at != folded_.end();) {
    auto& [key, folded] = *at;
    const bool clock_went_back = now < folded.since;
    if (!clock_went_back && now - folded.since < folded.window) {
      ++at;
      continue;
    }
    if (folded.more == 0) {
      at = folded_.erase(at);
      continue;
    }
    say_folded(folded, now);
    ++at;
  }
}

void Log::say_folded(Folded& folded, Instant now) {
  auto line = folded.line;
  if (folded.more > 1)
    line.message += fmt::format(" ({} times since {})", folded.more,
                                format_instant(std::chrono::floor<std::chrono::seconds>(folded.since)));
  folded.more = 0;
  folded.since = now;
  say(line, now);
}

void Log::hide(const Secret& secret) {
  const bool known = std::any_of(hidden_.begin(), hidden_.end(),
                                 [&](const Secret& hidden) { return hidden.reveal() == secret.reveal(); });
  if (!known && secret.reveal().size() >= shortest_secret) hidden_.push_back(secret);
}

std::int64_t Log::dropped() const {
  return writer_->sink->dropped + writer_->overrun();
}

void Log::say(const LogLine& line, Instant now) {
  auto text = render(line, now);
  if (text.size() >= longest_line) text.resize(longest_line - 1);
  writer_->say(text);
}

std::string Log::scrub(std::string_view text) const {
  return without_secrets(without_credentials(text), hidden_);
}

std::string Log::render(const LogLine& line, Instant now) const {
  const auto clean = [&](std::string_view text, std::size_t limit) { return printable(scrub(text), limit); };
  const auto time = format_instant(std::chrono::floor<std::chrono::milliseconds>(now));
  if (options_.format == LogFormat::text) {
    auto text = fmt::format("{} {:<7} {}", time, to_string(line.level), clean(line.message, longest_message));
    for (const auto& [name, value] : line.fields) text += fmt::format(" {}={}", name, clean(value, longest_field));
    return text;
  }
  // Escaping can double the text: a shorter one keeps the line whole.
  nlohmann::ordered_json json{
      {"time", time}, {"level", to_string(line.level)}, {"message", clean(line.message, longest_message)}};
  for (const auto& [name, value] : line.fields) json[std::string(name)] = clean(value, longest_field);
  auto text = json.dump();
  if (text.size() >= longest_line) {
    json["message"] = clean(line.message, longest_message / 4);
    text = json.dump();
  }
  return text;
}

}  // namespace sluice
