#include "scheduler/live_stream.hpp"

#include <fmt/format.h>

namespace sluice {

LiveStream::LiveStream(const StreamPlan& plan, std::string pipeline, RunContext& context)
    : plan_(std::make_shared<StreamPlan>(plan)),
      pipeline_(std::move(pipeline)),
      context_(context),
      altering_(context.executor, 1) {}

task<void> LiveStream::prepare() {
  auto plan = plan_;
  co_await prepare(std::move(plan));
}

task<void> LiveStream::prepare(std::shared_ptr<const StreamPlan> plan) {
  const auto changes = co_await context_.sink.sink.prepare(plan->table);
  for (const auto& [column, action] : changes) {
    SchemaChanged change{pipeline_, plan->name, column, action, {}};
    change.message = fmt::format("table {}: column {}: {}", plan->table.name, column, action);
    context_.events.emit(change);
  }
}

task<void> LiveStream::add_fields(std::map<std::string, DataType> fields) {
  const auto turn = co_await altering_.acquire();
  auto extended = std::make_shared<StreamPlan>(*plan_);
  bool changed = false;
  for (const auto& [path, type] : fields) {
    const auto same = [&path = path](const Column& c) { return c.path == path; };
    if (std::any_of(extended->spec.columns.begin(), extended->spec.columns.end(), same)) continue;
    const auto name = column_name(path);
    const auto called = [&](const auto& column) { return column.name == name; };
    if (!name) {
      refuse(path, "no name for a column can be made of it");
    } else if (std::any_of(extended->spec.columns.begin(), extended->spec.columns.end(), called) ||
               extended->table.find(*name) != nullptr) {
      refuse(path, fmt::format("there is a column {} already", *name));
    } else {
      if (!extended->transform.drops(*name))
        extended->table.columns.emplace_back(*name, type, extended->spec.columns.size());
      extended->spec.columns.emplace_back(*name, type, path);
      changed = true;
    }
  }
  if (!changed) co_return;
  // In force once the table has the columns: a slice that begins meanwhile, or after this failed, meets the fields
  // anew.
  std::shared_ptr<const StreamPlan> fresh = std::move(extended);
  co_await prepare(fresh);
  plan_ = std::move(fresh);
}

void LiveStream::refuse(const std::string& path, const std::string& why) {
  if (!refused_.insert(path).second) return;
  SchemaChanged change{pipeline_, plan_->name, path, "refused", {}};
  change.message = fmt::format(
      "stream {}: the source's new field '{}' is not loaded: {}; it can be kept by new_fields: keep_in_extra",
      plan_->name, path, why);
  context_.events.emit(change);
}

void LiveStream::note_unknown(const std::map<std::string, DataType>& fields) {
  for (const auto& [name, type] : fields) {
    if (!noted_.insert(name).second) continue;
    SchemaChanged change{pipeline_, plan_->name, name, "unknown_field", {}};
    change.message = fmt::format("stream {}: the source gives a field '{}' ({}) that is not declared", plan_->name,
                                 name, to_string(type));
    context_.events.emit(change);
  }
}

}  // namespace sluice
