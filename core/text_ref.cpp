#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.hpp"
#include "core/settings.hpp"

namespace sluice {
namespace {

constexpr off_t largest = 1 << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& what, const std::string& why) {
  throw Unresolved(Remedy::give_up, fmt::format("{}: {}", what, why));
}

// The whole of a small regular file. Anything else could block or never end.
std::string read_small(const std::string& what, const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) fail(what, fmt::format("cannot be opened: {}", std::strerror(errno)));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail(what, fmt::format("cannot be read: {}", std::strerror(errno)));
  if (!S_ISREG(info.st_mode)) fail(what, "is not a regular file");
  if (info.st_size > largest) fail(what, "is larger than 1 MiB");
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const auto n = ::read(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(what, fmt::format("cannot be read: {}", std::strerror(errno)));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

}  // namespace

std::string TextRef::describe() const {
  switch (from_) {
    case From::env:
      return "env " + name_;
    case From::file:
      return "file " + name_;
    case From::credential:
      return "credential " + name_;
    case From::literal:
      break;
  }
  return "a text in the file";
}

std::string TextRef::path() const {
  if (from_ == From::file) return name_;
  // systemd: LoadCredential= puts the files into this directory, readable by the service alone.
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0')
    fail(describe(),
         "there is no $CREDENTIALS_DIRECTORY: systemd gives what a unit's LoadCredential= names to that service alone; "
         "for a command by hand see \"Commands by hand\" in docs/operations.md");
  return std::string(directory) + "/" + name_;
}

Secret TextRef::resolve() const {
  if (from_ == From::literal) return Secret(name_);
  if (from_ == From::env) {
    const char* value = std::getenv(name_.c_str());
    if (value == nullptr) fail(describe(), "the environment variable is not set");
    if (*value == '\0') fail(describe(), "the environment variable is empty");
    return Secret(value);
  }
  auto text = read_small(describe(), path());
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) fail(describe(), "the file is empty");
  return Secret(std::move(text));
}

std::optional<std::string> TextRef::doubt() const {
  if (from_ != From::file) return {};
  struct stat info {};
  if (::stat(name_.c_str(), &info) != 0 || (info.st_mode & S_IROTH) == 0) return {};
  return fmt::format("{} can be read by every user of this machine (mode {:04o}): chmod o-rwx {}", describe(),
                     static_cast<unsigned>(info.st_mode & 07777U), name_);
}

}  // namespace sluice
