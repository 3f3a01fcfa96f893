#include "daemon/lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "core/error.hpp"
#include "core/time.hpp"

namespace sluice {
namespace {

std::string_view advice(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return "; sluice's user must be able to write there";
    case ENOSPC:
    case EDQUOT:
      return "; free space there";
    case ENOENT:
    case ENOTDIR:
      return "; the folder of the state (`state.url`) must exist";
    default:
      return "";
  }
}

[[noreturn]] void fail(const std::string& path, const std::string& doing, int error) {
  throw Error(Remedy::give_up, fmt::format("the lock {} cannot be {}: {}{}", path, doing,
                                           std::generic_category().message(error), advice(error)));
}

constexpr std::string_view ending = ".lock";

// Pipelines are named by people: whatever is no plain letter becomes %XX.
std::string encoded(const std::string& pipeline) {
  std::string name;
  for (const char c : pipeline) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 128 && std::isalnum(byte)) || c == '_' || c == '-';
    name += plain ? std::string(1, c) : fmt::format("%{:02x}", byte);
  }
  return name;
}

std::string lock_file(const std::string& dir, const std::string& pipeline) {
  return fmt::format("{}/{}{}", dir, encoded(pipeline), ending);
}

// The whole file, for as long as the file is open. Of its kinds of lock, Linux can be asked only about this one without
// taking it, and who takes it for an instant is in another's way.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool file_is_held(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return errno != ENOENT;
  auto lock = whole_file();
  const bool free = fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
  close(file);
  return !free;
}

std::string describe_self(const std::string& who) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("{}, pid {} on {}, since {}", who, getpid(), host.data(), format_instant(now));
}

std::string read_holder(int file) {
  std::array<char, 512> text{};
  const auto size = pread(file, text.data(), text.size(), 0);
  // Between the lock and its line there is a moment.
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : "another process";
}

}  // namespace

PipelineLock& PipelineLock::operator=(PipelineLock&& other) noexcept {
  if (this == &other) return *this;
  release();
  file_ = std::exchange(other.file_, -1);
  return *this;
}

// The file stays: were it removed, two processes could hold locks on two files of one name.
void PipelineLock::release() {
  if (file_ < 0) return;
  if (ftruncate(file_, 0) != 0) errno = 0;
  close(std::exchange(file_, -1));
}

std::optional<PipelineLock> try_lock_pipeline(const std::string& dir, const std::string& pipeline,
                                              const std::string& who, std::string& holder) {
  std::error_code failure;
  if (!std::filesystem::exists(dir, failure)) {
    std::filesystem::create_directories(std::filesystem::path(dir).parent_path(), failure);
    if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) fail(dir, "made", errno);
  }
  const auto path = lock_file(dir, pipeline);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) fail(path, "opened", errno);
  const auto whole = whole_file();
  if (fcntl(file, F_OFD_SETLK, &whole) != 0) {
    const int error = errno;
    const bool held = error == EAGAIN || error == EACCES;
    if (held) holder = read_holder(file);
    close(file);
    if (!held) fail(path, "taken", error);
    return {};
  }
  PipelineLock lock(file);
  const auto self = describe_self(who);
  if (ftruncate(file, 0) != 0 || pwrite(file, self.data(), self.size(), 0) < 0) fail(path, "written", errno);
  return lock;
}

bool held_by_daemon(const std::string& holder) {
  return holder.starts_with("sluice serve");
}

bool lock_is_held(const std::string& dir, const std::string& pipeline) {
  return file_is_held(lock_file(dir, pipeline));
}

std::string backfill_lock(const std::string& pipeline, const std::string& lane) {
  return pipeline + "." + lane;
}

bool any_backfill_is_held(const std::string& dir, const std::string& pipeline) {
  std::error_code failure;
  for (const auto& file : std::filesystem::directory_iterator(dir, failure))
    if (file.path().filename().string().starts_with(encoded(backfill_lock(pipeline, ""))) &&
        file_is_held(file.path().string()))
      return true;
  return failure && failure != std::errc::no_such_file_or_directory;
}

std::string lock_folder(const std::string& state_path) {
  return (std::filesystem::path(state_path).parent_path() / "locks").string();
}

}  // namespace sluice
