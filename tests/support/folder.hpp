#pragma once
#include <filesystem>
#include <string>

namespace sluice::test {

// Where the sources are, and where the programs are built.
std::filesystem::path source_dir();
std::filesystem::path binary_dir();

// A folder of the test's own that is removed with all it holds.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();
  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace sluice::test
