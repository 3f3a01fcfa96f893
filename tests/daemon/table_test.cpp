#include <catch2/catch.hpp>

#include "daemon/table_printer.hpp"

using namespace sluice;

namespace {

Terminal plain() {
  return {};
}
Terminal terminal(int width) {
  Terminal t;
  t.interactive = true;
  t.width = width;
  return t;
}
Terminal colourful(int width) {
  auto t = terminal(width);
  t.colour = true;
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

TEST_CASE("a terminal gets colour for success and failure, also where more follows the word") {
  TablePrinter table({"PIPELINE", "STATE", "MESSAGE"});
  table.add({"facebook", "running 12m04s", "failed in 3s"});
  table.add({"google", "failed", "succeeded"});
  const auto text = table.print(colourful(80));
  CHECK_THAT(text, Catch::Contains("\x1b[36mrunning 12m04s\x1b[0m  failed in 3s\n") &&
                       Catch::Contains("\x1b[31mfailed\x1b[0m          succeeded\n"));
}

TEST_CASE("on a terminal the last column is wrapped at its width, in its place where that is wide enough") {
  TablePrinter table({"WHERE", "RESULT", "FINDING"});
  table.add({"source meta", "warning", "grün: the certificate ends soon: have it renewed, or connections are refused"});
  table.add({"sink warehouse", "error", "first line\nsecond line"});
  table.add({"state", "ok", "https://example.com/a/path/that/is/longer/than/any/line/of/this/terminal/could/ever/be"});
  CHECK(table.print(terminal(70)) ==
        "WHERE           RESULT   FINDING\n"
        "source meta     warning  grün: the certificate ends soon: have it\n"
        "                         renewed, or connections are refused\n"
        "sink warehouse  error    first line\n"
        "                         second line\n"
        "state           ok       https://example.com/a/path/that/is/longer/tha\n"
        "                         n/any/line/of/this/terminal/could/ever/be\n");
}

TEST_CASE("columns that a terminal has no room for go on lines of their own below, whole") {
  CHECK(runs().print(terminal(44)) ==
        "PIPELINE  OUTCOME     ROWS\n"
        "    MESSAGE\n"
        "facebook  succeeded  1,234\n"
        "grün      failed         7\n"
        "    the token has expired; make a new one\n");
  CHECK(runs().print(terminal(24)) ==
        "PIPELINE  OUTCOME\n"
        "     ROWS\n"
        "    MESSAGE\n"
        "facebook  succeeded\n"
        "    1,234\n"
        "grün      failed\n"
        "        7\n"
        "    the token has\n"
        "    expired; make a new\n"
        "    one\n");
  CHECK_THAT(runs().print(terminal(1)), Catch::Contains("expired;\n"));
}

TEST_CASE("a table without rows is its head") {
  CHECK(TablePrinter({"A", "B"}).print(plain()) == "A  B\n");
}

TEST_CASE("cutting counts columns, not bytes, and leaves whole characters") {
  CHECK(cut("grün", 4) == "grün");
  CHECK(cut("grüner", 4) == "grü…");
  CHECK(display_width("grün ✓") == 6);
}
