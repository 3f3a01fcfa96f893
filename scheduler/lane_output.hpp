#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "scheduler/lane.hpp"

namespace sluice {

// Rows of a field that the stream does not have yet, where such fields are to be added: read the slice again with it.
struct FieldsFound {
  std::map<std::string, DataType> fields;
};

// Between a connector and a load: transforms, waits for memory, counts. Rows go from memory to the sink while the
// connector reads on: `stage_all` runs beside it, until `close`.
class LaneOutput final : public Output {
 public:
  LaneOutput(const LaneJob& job, const Slice& slice, const StreamPlan& plan, LiveStream& stream, RunContext& context,
             Load& load, const asio::any_io_executor& executor, std::function<task<void>()> first_batch,
             std::function<task<void>(task<void>)> away)
      : job_(job),
        slice_(slice),
        plan_(plan),
        stream_(stream),
        context_(context),
        load_(load),
        changed_(executor),
        first_batch_(std::move(first_batch)),
        away_(std::move(away)) {}

  task<void> emit(Batch batch) override;
  task<void> stage_all();
  void close();
  void without_columns(const std::vector<std::string>& names, const std::string& why) override;
  void incident(const std::string& why) override;
  Priority priority() const override { return job_.priority; }
  task<void> away(task<void> waiting) override { return away_(std::move(waiting)); }

  std::int64_t read = 0, filtered = 0;
  bool complete = true;
  std::vector<std::string> incidents;

 private:
  // Throws FieldsFound where there are some to be added.
  void meet_new_fields(const std::map<std::string, DataType>& unknown);

  const LaneJob& job_;
  const Slice& slice_;
  const StreamPlan& plan_;
  LiveStream& stream_;
  RunContext& context_;
  Load& load_;
  bool closed_ = false;
  Signal changed_;  // the load has taken rows, or has room again; no more will come
  std::function<task<void>()> first_batch_;
  std::function<task<void>(task<void>)> away_;
};

}  // namespace sluice
