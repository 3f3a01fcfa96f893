#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "scheduler/run.hpp"

namespace sluice {

// A stream while a run is loading it. Slices hold on to the plan they began with; a field that turns up is added by
// replacing the plan.
class LiveStream {
 public:
  LiveStream(const StreamPlan& plan, std::string pipeline, RunContext& context);
  std::shared_ptr<const StreamPlan> plan() const { return plan_; }
  // Makes or alters the table. Throws what Sink::prepare throws.
  task<void> prepare();
  // Adds the fields (path → type) as columns of the stream and of its table; those it has already are left alone. A
  // field whose column's name is taken, or cannot be made, is left out and said.
  task<void> add_fields(std::map<std::string, DataType> fields);
  // It was left out.
  bool refused(const std::string& path) const { return refused_.contains(path); }
  // Says once per run and field that the source gives a field which nobody asked for.
  void note_unknown(const std::map<std::string, DataType>& fields);

 private:
  task<void> prepare(std::shared_ptr<const StreamPlan> plan);
  void refuse(const std::string& path, const std::string& why);

  std::shared_ptr<const StreamPlan> plan_;
  std::string pipeline_;
  RunContext& context_;
  Semaphore altering_;
  std::set<std::string> noted_, refused_;
};

}  // namespace sluice
