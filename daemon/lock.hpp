#pragma once
#include <optional>
#include <string>
#include <utility>

namespace sluice {

// Held by the one process on this machine that runs a pipeline. The kernel takes it back when the process ends, however
// it ends.
class PipelineLock {
 public:
  explicit PipelineLock(int file) : file_(file) {}
  PipelineLock(PipelineLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  PipelineLock& operator=(PipelineLock&& other) noexcept;
  ~PipelineLock() { release(); }
  void release();

 private:
  int file_;
};

// The lock of `pipeline` in the folder `dir` (made where it is missing), or nothing, and in `holder` who has it:
// "sluice serve, pid 4711 on db1, since 2026-03-02T12:00:00Z". `who` is this process's part of that line.
// Throws Error(give_up) when the folder cannot be used.
std::optional<PipelineLock> try_lock_pipeline(const std::string& dir, const std::string& pipeline,
                                              const std::string& who, std::string& holder);

// Of a `holder`: it is a daemon, which keeps its pipelines' locks while it lives.
bool held_by_daemon(const std::string& holder);

// Whether some process holds the lock of `pipeline`. Makes nothing; where it cannot be told, yes.
bool lock_is_held(const std::string& dir, const std::string& pipeline);
// The lock of a backfill, which runs beside its pipeline in a lane of its own.
std::string backfill_lock(const std::string& pipeline, const std::string& lane);
// Whether some process holds the lock of any backfill of `pipeline`.
bool any_backfill_is_held(const std::string& dir, const std::string& pipeline);

// The folder of the locks that belong to the state at `state_path`.
std::string lock_folder(const std::string& state_path);

}  // namespace sluice
