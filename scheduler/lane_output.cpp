#include "scheduler/lane_output.hpp"

#include <fmt/format.h>

namespace sluice {

task<void> LaneOutput::emit(Batch batch) {
  meet_new_fields(batch.unknown_fields);
  read += static_cast<std::int64_t>(batch.rows() + batch.rejects.size()) + batch.filtered;
  filtered += batch.filtered;
  plan_.transform.apply(batch);
  if (first_batch_) co_await std::exchange(first_batch_, nullptr)();
  const auto permit = co_await context_.memory.acquire(static_cast<std::int64_t>(batch.bytes()));
  while (load_.full()) co_await changed_.wait();
  load_.add(std::move(batch));
  changed_.notify_all();
  const SliceProgress progress{job_.run, job_.id.pipeline, job_.id.stream, slice_.id(), read};
  context_.events.emit(progress);
}

task<void> LaneOutput::stage_all() {
  for (;;) {
    while (!load_.full() && !closed_) co_await changed_.wait();
    if (!load_.full()) co_return;
    co_await load_.make_room();
    changed_.notify_all();
  }
}

void LaneOutput::close() {
  closed_ = true;
  changed_.notify_all();
}

void LaneOutput::without_columns(const std::vector<std::string>& names, const std::string& why) {
  complete = false;
  // The connector knows its own names; the table may have renamed or dropped them.
  std::vector<std::string> columns;
  for (const auto& name : names)
    for (const auto& column : plan_.table.columns)
      if (column.source < plan_.spec.columns.size() && plan_.spec.columns[column.source].name == name)
        columns.push_back(column.name);
  load_.without_columns(columns);
  context_.events.emit(Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                              fmt::format("{}: loaded without {}: {}", slice_.id(), fmt::join(names, ", "), why)});
}

void LaneOutput::incident(const std::string& why) {
  incidents.push_back(fmt::format("{}: {}", slice_.id(), why));
}

void LaneOutput::meet_new_fields(const std::map<std::string, DataType>& unknown) {
  if (plan_.spec.new_fields != NewFields::add) return stream_.note_unknown(unknown);
  FieldsFound found;
  for (const auto& field : unknown)
    if (!stream_.refused(field.first)) found.fields.insert(field);
  if (!found.fields.empty()) throw found;
}

}  // namespace sluice
