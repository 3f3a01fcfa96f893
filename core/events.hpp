#pragma once
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "core/sink.hpp"
#include "core/time.hpp"

// What happens in sluice, said once: the daemon turns each event into its log line, its metrics and its server-sent
// event. Whoever moves rows neither logs nor counts.

namespace sluice {

enum class Level { debug, info, warning, error };

// One HTTP exchange with a source ended. `code` is the HTTP status as text, or "timeout", "connect", "tls", "reset".
struct RequestDone {
  std::string source, code;
  Duration took{};
  std::int64_t received_bytes = 0;
};
struct RequestRetried {
  // reason: "throttled", "server_error", "timeout", "connection", "bad_answer", "token", or a word of the API's dialect
  std::string source, reason;
  std::string message;
  Duration wait{};
};
// The state of one bucket of a source's rate limit after something moved it.
struct BucketState {
  std::string source, bucket;
  double tokens = 0;
  std::optional<double> upstream_utilization;  // 0…1 and above, as the API's headers say
};
struct BucketWaited {
  std::string source, bucket;
  Duration waited{};
};
// A call that counts against a budget (the operations of a day) was sent.
struct BudgetSpent {
  std::string source, bucket;
  double cost = 0;
};
struct Throttled {
  std::string source, bucket, message;
  Duration pause{};
};
// The API told us that our version is going away, or answered with another.
struct VersionWarning {
  std::string source, message;
};

struct RunStarted {
  std::string run, pipeline, trigger;  // trigger: schedule, manual, backfill, dependency
  Instant planned, started;
  Duration delay{};  // from the planned instant, jitter included, to the start
};
enum class Outcome { succeeded, partial, failed, cancelled };
std::string_view to_string(Outcome outcome);
struct RunEnded {
  std::string run, pipeline, trigger;
  Outcome outcome = Outcome::succeeded;
  std::string message;  // why, for anything but succeeded
  Duration took{};
  Counts counts;
  std::int64_t slices_published = 0, slices_failed = 0;
  bool passing = false;          // failed for a cause that may pass: worth another try by the pipeline's own retry
  std::optional<Duration> wait;  // no other run is worth while before that is over (a quota of the day is used up)
  std::map<std::string, Instant> watermarks;  // of the streams whose watermark the run moved
};
struct SliceStarted {
  std::string run, pipeline, stream, slice;
};
struct SliceProgress {
  std::string run, pipeline, stream, slice;
  std::int64_t rows = 0;
};
enum class SliceOutcome { published, failed, superseded, skipped };  // skipped: the source does not give it
std::string_view to_string(SliceOutcome outcome);
struct SliceEnded {
  std::string run, pipeline, stream, slice;
  SliceOutcome outcome = SliceOutcome::published;
  std::string message;
  Counts counts;
  Duration took{};
  std::string partition = {};
};
// How many slices a run has to do, once it is known.
struct RunPlanned {
  std::string run, pipeline;
  std::int64_t slices = 0;
};
struct WatermarkMoved {
  std::string pipeline, stream;
  Instant watermark;
};
struct QuarantineSize {
  std::string pipeline, stream;
  std::int64_t rows = 0;
};
struct SchemaChanged {
  std::string pipeline, stream, column, action;  // action: column_added, widened, refused, unknown_field
  std::string message;
};
// outcome: committed, rolled_back, or unknown (the reply to COMMIT was lost), which another one of these follows when
// it has been found out. took: until COMMIT was answered or lost, without finding out.
struct TransactionDone {
  std::string sink, outcome;
  Duration took{};
};
struct SinkState {
  std::string sink;
  bool up = true;
  std::string message;
};
struct FireMissed {
  std::string pipeline, reason;  // reason: down, paused, overlap, deadline
  Instant planned;               // the newest of them
  std::int64_t count = 1;
};
// Anything that a person should read and no metric counts.
struct Notice {
  Level level = Level::info;
  std::string pipeline, stream;  // empty where it is about the whole
  std::string message;
  std::string source = {}, sink = {};  // where it is about one of these, whoever uses it
};

using Event =
    std::variant<RequestDone, RequestRetried, BucketState, BucketWaited, BudgetSpent, Throttled, VersionWarning,
                 RunStarted, RunEnded, RunPlanned, SliceStarted, SliceProgress, SliceEnded, WatermarkMoved,
                 QuarantineSize, SchemaChanged, TransactionDone, SinkState, FireMissed, Notice>;

class Events {
 public:
  virtual ~Events() = default;
  virtual void emit(const Event& event) = 0;
};

// Hears everything and says nothing.
class NoEvents final : public Events {
 public:
  void emit(const Event&) override {}
};

}  // namespace sluice
