#include "core/batch.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("what a batch holds in memory counts its rejects: they wait for the sink as the rows do") {
  Batch batch(2);
  batch.add_row()[0] = batch.add_text("0123456789");
  const auto rows = batch.bytes();
  CHECK(rows == 2 * sizeof(Cell) + 10);
  batch.rejects.push_back(Reject{"key", "reason", "rule", std::string(32'000'000, 'x')});
  CHECK(batch.bytes() - rows > 32'000'000);
  CHECK(batch.bytes() - rows < 32'001'000);
}
