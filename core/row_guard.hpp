#pragma once
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/mask.hpp"

namespace sluice {

// Takes out of a source's rows what must not be stored, before anything else reads them: what is made of the rows
// afterwards (columns, JSON, the quarantine's raw row, what a message quotes) cannot hold it.
//
// A path is matched as it reads: "a.b" and "a/b" are the member b of a, and the member "a.b" too. It leads through
// lists. Where a path that hides something meets a text or a number on its way, that is hidden whole.
//
// What no rule asks for, and no rule keeps whole, is blank: "", 0, false, {} or [], so that its type can still be seen.
class RowGuard {
 public:
  struct Rule {
    enum class What {
      keep,       // a column of the table shows it, whole
      mask,       // each text and number in it is masked
      drop,       // it is left out, wherever it stands
      drop_field  // the same of a column: what other columns show of it stays
    } what = What::keep;
    std::string path;                  // from the row's top
    std::shared_ptr<const Mask> mask;  // of `mask`
  };

  // `keep_unknown`: what no rule asks for stays as it is, but for members that would become columns of the names
  // `dropped`.
  RowGuard(std::vector<Rule> rules, std::set<std::string> dropped, bool keep_unknown);

  // A page of rows as the row mapper takes it; `saved`: a reply that was saved, which may be a row by itself. Adds to
  // `repaired` as clean_text does.
  std::string page(std::string page, std::string_view rows, bool saved, std::int64_t& repaired) const;
  // One value, whole but for what the rules hide in it. What is not JSON is hidden whole.
  std::string value(std::string json) const;

 private:
  class Walk;
  std::vector<Rule> rules_;
  std::set<std::string> dropped_;
  bool keep_unknown_;
};

// `path` is `above`, or lies in it, as paths read.
bool lies_in(std::string_view path, std::string_view above);

// Of an answer that could not be understood, what may be kept where rows must not be: names of members and types of
// values, equal items of a list once. What is no JSON is its size.
std::string outline(std::string_view answer);

}  // namespace sluice
