#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/events.hpp"
#include "core/secret.hpp"
#include "daemon/log_lines.hpp"

namespace sluice {

// Longer ones are cut, in the log as in what is kept of a run.
constexpr std::size_t longest_message = 2000;
constexpr std::size_t longest_field = 200;

enum class LogFormat { text, json };

struct LogOptions {
  Level level = Level::info;
  LogFormat format = LogFormat::text;
  int fd = 2;
  bool runs = true;  // false: somebody else says how runs end
};

// The log on stderr: silent while all is well, one line per run and per incident. The same incident again within a
// minute is counted and said in one line afterwards: a sink's, too, that fails many slices alike. Never blocks the
// caller: lines that nobody takes are dropped and counted. Known secrets, credentials in URLs and control characters do
// not get through.
class Log {
 public:
  explicit Log(LogOptions options);
  ~Log();

  void on(const Event& event, Instant now);
  void write(Level level, Instant now, std::string_view message);
  // Says what was folded and is older than a minute.
  void tick(Instant now);
  // Says all that was folded, and waits a moment until it is written: for somebody who has the last word.
  void flush();
  // This text never appears in the log, whoever says it.
  void hide(const Secret& secret);
  // The text without what `hide` was told of and without credentials in URLs.
  std::string scrub(std::string_view text) const;
  std::int64_t dropped() const;

 private:
  struct Writer;
  struct Folded {
    Instant since, last;
    Duration window{};
    std::int64_t more = 0;
    LogLine line;
  };

  void say(const LogLine& line, Instant now);
  void fold_or_say(LogLine line, Instant now);
  void say_folded(Folded& folded, Instant now);
  void say_all_folded();
  std::string render(const LogLine& line, Instant now) const;

  LogOptions options_;
  std::unique_ptr<Writer> writer_;
  std::map<std::string, Folded> folded_;
  std::map<std::string, bool> sink_up_;
  std::vector<Secret> hidden_;
};

std::optional<Level> parse_level(std::string_view text);
std::string_view to_string(Level level);

// One line of printable UTF-8: control characters, ANSI sequences, line separators (U+2028, U+2029), direction marks
// and broken UTF-8 are escaped; cut at `limit` bytes with an ellipsis.
std::string printable(std::string_view text, std::size_t limit);
// Takes credentials out of URLs and query strings: "access_token=…", "://user:password@".
std::string without_credentials(std::string_view text);

}  // namespace sluice
