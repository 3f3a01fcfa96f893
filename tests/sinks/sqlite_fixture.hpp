#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <stdexcept>

#include "sinks/sqlite.hpp"
#include "tests/sinks/conformance.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using conformance::batch_of;
using conformance::GivenRow;
using conformance::sqlite_sink_at;

inline const Day first_day(2026, 1, 1);

// A sink on a file, as a process has it.
struct Process {
  explicit Process(const std::string& path) : sink(sqlite_sink_at(path, world.executor(), world.clock(), events)) {}

  Published load(const Table& table, const Slice& slice, const std::vector<GivenRow>& rows,
                 std::optional<std::string> done_to = {}, const std::string& run = "run1") {
    const LaneId lane("ads", "stream", slice.partition().id, "live");
    Publication publication;
    publication.expected_version = world.run(sink->progress(lane, table.name, "")).version;
    publication.read = static_cast<std::int64_t>(rows.size());
    publication.done_to = std::move(done_to);
    const auto opened = world.run(sink->open(table, lane, slice, run, world.clock().now()));
    auto batch = batch_of(table, rows);
    world.run(opened->stage(batch));
    return world.run(opened->publish(publication));
  }

  World world;
  RecordedEvents events;
  std::unique_ptr<Sink> sink;
};

inline std::vector<GivenRow> rows_of(Day on, int count, int impressions, std::size_t name_size = 3) {
  std::vector<GivenRow> rows;
  for (int i = 0; i < count; ++i)
    rows.push_back({"a", on, std::to_string(1000 + i), impressions, "0.10", std::string(name_size, 'x')});
  return rows;
}

inline Slice day_slice(Day on) {
  return Slice::days(Partition("a"), on, on + 1);
}

// Runs `body` in a process of its own; its result is the exit status.
inline pid_t in_child(const std::function<int()>& body) {
  const auto child = fork();
  if (child != 0) return child;
  int status = 99;
  try {
    status = body();
  } catch (...) {
    status = 98;
  }
  _exit(status);
}

inline int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::logic_error("the child is lost");
  return status;
}

}  // namespace sluice::test
