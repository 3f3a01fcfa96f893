#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "tests/support/folder.hpp"

// The arrows between the folders, as docs/architecture.md draws them: who may include whom.
TEST_CASE("no folder includes what it must not know") {
  const std::map<std::string, std::set<std::string>> may_include{
      {"core", {"core"}},
      {"net", {"core", "net"}},
      {"db", {"core", "db"}},
      {"transform", {"core", "transform"}},
      {"scheduler", {"core", "transform", "scheduler"}},
      {"connectors", {"core", "net", "db", "connectors"}},
      {"sinks", {"core", "db", "sinks"}},
      {"sandbox", {"core", "sandbox"}},
      {"daemon", {"core", "net", "db", "transform", "scheduler", "connectors", "sinks", "daemon"}},
  };
  constexpr std::string_view include = "#include \"";
  int files = 0;
  for (const auto& [folder, allowed] : may_include) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(sluice::test::source_dir() / folder)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
      ++files;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        const auto slash = line.find('/');
        if (!line.starts_with(include) || slash == std::string::npos) continue;
        const auto included = line.substr(include.size(), slash - include.size());
        INFO(entry.path().string() << " includes " << included << "/");
        CHECK(allowed.count(included) == 1);
      }
    }
  }
  CHECK(files > 40);
}
