#include "tests/support/folder.hpp"

#include <stdlib.h>

#include <stdexcept>

namespace sluice::test {

std::filesystem::path source_dir() {
  return SLUICE_SOURCE_DIR;
}
std::filesystem::path binary_dir() {
  return SLUICE_BINARY_DIR;
}

Folder::Folder() {
  auto name = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder could be made");
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sluice::test
