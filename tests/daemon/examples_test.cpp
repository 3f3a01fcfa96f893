#include <catch2/catch.hpp>
#include <filesystem>

#include "daemon/configuration.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;

TEST_CASE("every example is a file that sluice takes without a warning") {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_dir() / "examples")) {
    if (entry.path().extension() != ".yaml") continue;
    ++seen;
    Faults faults;
    const auto made = load_configuration(entry.path().string(), built_in_kinds(), faults);
    for (const auto& fault : faults) UNSCOPED_INFO(to_string(fault));
    REQUIRE(made);
    for (const auto& warning : made->warnings) UNSCOPED_INFO(to_string(warning));
    CHECK(made->warnings.empty());
    CHECK_FALSE(made->pipelines.empty());
  }
  CHECK(seen >= 2);
}
