#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/folder.hpp"

// The corpus of each fuzz target as an ordinary test: what was found once stays mended, whatever the compiler.

using namespace sluice;

// SLUICE_FUZZ_TARGETS: TARGET(cron) TARGET(decimal) …; of each the function is fuzz_NAME here.
#define TARGET(name) extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
SLUICE_FUZZ_TARGETS
#undef TARGET

namespace {

using Target = int (*)(const std::uint8_t*, std::size_t);

const std::map<std::string, Target>& targets() {
#define TARGET(name) {#name, &fuzz_##name},
  static const std::map<std::string, Target> all{SLUICE_FUZZ_TARGETS};
#undef TARGET
  return all;
}

// Its own copy, so that a sanitizer sees what reads beyond it.
std::vector<std::uint8_t> contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  bytes.shrink_to_fit();
  return bytes;
}

}  // namespace

TEST_CASE("every kept input passes its fuzz target") {
  for (const auto& [name, target] : targets()) {
    CHECK_NOTHROW(target(nullptr, 0));
    std::size_t kept = 0;
    for (const auto& entry : std::filesystem::directory_iterator(test::source_dir() / "tests/fuzz/corpus" / name)) {
      CAPTURE(entry.path());
      const auto bytes = contents(entry.path());
      CHECK_NOTHROW(target(bytes.data(), bytes.size()));
      ++kept;
    }
    INFO(name);
    CHECK(kept > 0);
  }
}

TEST_CASE("every folder of the corpus has its target") {
  for (const auto& entry : std::filesystem::directory_iterator(test::source_dir() / "tests/fuzz/corpus"))
    CHECK(targets().contains(entry.path().filename()));
}
