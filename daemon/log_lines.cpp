#include "daemon/log_lines.hpp"

#include <fmt/format.h>

#include "daemon/phrases.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

LogLine plain(Level level, std::string message, std::vector<std::pair<std::string_view, std::string>> fields) {
  LogLine line;
  line.level = level;
  line.message = std::move(message);
  line.fields = std::move(fields);
  return line;
}

struct Describe {
  std::optional<LogLine> operator()(const RunEnded& e) const {
    LogLine line;
    line.level = e.outcome == Outcome::failed    ? Level::error
                 : e.outcome == Outcome::partial ? Level::warning
                                                 : Level::info;
    line.message = run_sentence(e);
    line.fields = {{"pipeline", e.pipeline}, {"run", e.run}, {"trigger", e.trigger}};
    return line;
  }
  std::optional<LogLine> operator()(const RunStarted& e) const {
    return plain(Level::debug, "run started", {{"pipeline", e.pipeline}, {"run", e.run}, {"trigger", e.trigger}});
  }
  std::optional<LogLine> operator()(const SliceEnded& e) const {
    const bool failed = e.outcome == SliceOutcome::failed;
    auto line =
        plain(failed ? Level::warning : Level::debug,
              fmt::format("slice {} {}{}{}", e.slice, to_string(e.outcome), e.message.empty() ? "" : ": ", e.message),
              {{"pipeline", e.pipeline}, {"stream", e.stream}, {"run", e.run}});
    if (failed) line.fold = "slice " + e.pipeline + '/' + e.stream + '/' + e.partition;
    if (failed) line.words = e.message;
    return line;
  }
  std::optional<LogLine> operator()(const RequestDone& e) const {
    return plain(Level::debug, fmt::format("request: {} in {}", e.code, short_duration(e.took)),
                 {{"source", e.source}});
  }
  std::optional<LogLine> operator()(const RequestRetried& e) const {
    auto line = plain(Level::warning, fmt::format("{}; trying again in {}", e.message, short_duration(e.wait)),
                      {{"source", e.source}, {"reason", e.reason}});
    line.fold = "retry " + e.source + '/' + e.reason;
    return line;
  }
  std::optional<LogLine> operator()(const Throttled& e) const {
    auto line = plain(Level::warning, fmt::format("{}; pausing for {}", e.message, short_duration(e.pause)),
                      {{"source", e.source}, {"bucket", e.bucket}});
    line.fold = "throttled " + e.source + '/' + e.bucket;
    return line;
  }
  std::optional<LogLine> operator()(const VersionWarning& e) const {
    auto line = plain(Level::warning, e.message, {{"source", e.source}});
    line.fold = "version " + e.source;
    line.fold_for = 24h;  // every answer says it
    return line;
  }
  std::optional<LogLine> operator()(const SchemaChanged& e) const {
    const auto level = e.action == "refused"         ? Level::warning
                       : e.action == "unknown_field" ? Level::debug
                                                     : Level::info;
    auto line = plain(level, e.message.empty() ? fmt::format("{}: {}", e.column, e.action) : e.message,
                      {{"pipeline", e.pipeline}, {"stream", e.stream}, {"column", e.column}, {"action", e.action}});
    line.fold = "schema " + e.pipeline + '/' + e.stream + '/' + e.column + e.action;
    return line;
  }
  std::optional<LogLine> operator()(const TransactionDone& e) const {
    const bool lost = e.outcome == "unknown";
    auto line = plain(lost ? Level::warning : Level::debug,
                      lost ? "the connection was lost during COMMIT; the ledger is read to learn whether it happened"
                           : fmt::format("transaction {} in {}", e.outcome, short_duration(e.took)),
                      {{"sink", e.sink}});
    if (lost) line.fold = "transaction " + e.sink;
    return line;
  }
  std::optional<LogLine> operator()(const SinkState& e) const {
    auto line =
        e.up ? plain(Level::info, "the sink answers again", {{"sink", e.sink}})
             : plain(Level::error, e.message.empty() ? "the sink does not answer" : e.message, {{"sink", e.sink}});
    line.fold = fmt::format("sink {} {}", e.sink, e.up);
    if (!e.up) line.words = e.message;
    return line;
  }
  std::optional<LogLine> operator()(const FireMissed& e) const {
    auto line = plain(Level::warning,
                      e.count == 1 ? fmt::format("missed the fire of {} ({})", format_instant(e.planned), e.reason)
                                   : fmt::format("missed {} fires, the newest that of {} ({})", e.count,
                                                 format_instant(e.planned), e.reason),
                      {{"pipeline", e.pipeline}, {"reason", e.reason}});
    line.fold = "missed " + e.pipeline + e.reason;
    return line;
  }
  std::optional<LogLine> operator()(const Notice& e) const {
    auto line = plain(e.level, e.message, {});
    if (!e.pipeline.empty()) line.fields.emplace_back("pipeline", e.pipeline);
    if (!e.stream.empty()) line.fields.emplace_back("stream", e.stream);
    line.fold = "notice " + e.pipeline + '/' + e.stream + e.message;
    return line;
  }
  template <typename Other>
  std::optional<LogLine> operator()(const Other&) const {
    return {};
  }
};

}  // namespace

std::optional<LogLine> describe(const Event& event) {
  return std::visit(Describe(), event);
}

}  // namespace sluice
