#include <catch2/catch.hpp>

#include "daemon/table_printer.hpp"

using namespace sluice;

namespace {

Terminal plain() {
  return {};
}
Terminal colourful(int width) {
  Terminal t;
  t.interactive = t.colour = true;
  t.width = width;
  return t;
}

TablePrinter runs() {
  TablePrinter table({"PIPELINE", "OUTCOME", "ROWS", "MESSAGE"});
  table.add({"facebook", "succeeded", "1,234", ""});
  table.add({"grün", "failed", "7", "the token has expired; make a new one"});
  return table;
}

}  // namespace

TEST_CASE("columns line up, numbers to the right, without trailing blanks") {
  CHECK(runs().print(plain()) ==
        "PIPELINE  OUTCOME     ROWS  MESSAGE\n"
        "facebook  succeeded  1,234\n"
        "grün      failed         7  the token has expired; make a new one\n");
}

TEST_CASE("a terminal gets colour for success and failure, and the last column is cut to its width") {
  const auto text = runs().print(colourful(44));
  CHECK_THAT(text, Catch::Contains("\x1b[32msucceeded\x1b[0m") && Catch::Contains("\x1b[31mfailed\x1b[0m"));
  CHECK_THAT(text, Catch::Contains("the token has e…"));
}

TEST_CASE("a table without rows is its head") {
  CHECK(TablePrinter({"A", "B"}).print(plain()) == "A  B\n");
}

TEST_CASE("cutting counts columns, not bytes, and leaves whole characters") {
  CHECK(cut("grün", 4) == "grün");
  CHECK(cut("grüner", 4) == "grü…");
  CHECK(display_width("grün ✓") == 6);
}
