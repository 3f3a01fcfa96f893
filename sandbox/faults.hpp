#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::sandbox {

// Something that goes wrong on purpose.
struct Fault {
  std::string name;
  std::string arg;
  std::string path;  // strikes only requests whose "METHOD /path?query" contains it
  int times = -1;    // how often it strikes; -1: until it is removed
  int every = 1;     // strikes each n-th matching request
  int seen = 0;
};

struct FaultKind {
  std::string_view name;
  std::string_view help;
};
std::span<const FaultKind> fault_kinds();

// "NAME[=ARG][@PATH][%EVERY][#TIMES]", for example "throttle=2@insights#3". Throws std::invalid_argument.
Fault parse_fault(std::string_view text);

class Faults {
 public:
  // Throws std::invalid_argument when no fault has that name.
  void add(Fault fault);
  void remove(std::string_view name);  // empty: all
  // The fault's argument when it strikes this request. Counts as having struck.
  std::optional<std::string> strikes(std::string_view name, std::string_view subject);
  bool armed(std::string_view name) const { return argument(name).has_value(); }
  // The argument of an armed fault, whether or not it strikes.
  std::optional<std::string> argument(std::string_view name) const;
  bool none() const { return faults_.empty(); }
  // Any fault that alters the rows of a page.
  bool any_of_rows() const;
  const std::map<std::string, int>& struck() const { return struck_; }
  void forget_struck() { struck_.clear(); }

 private:
  std::vector<Fault> faults_;
  std::map<std::string, int> struck_;
};

// What the row faults do to the rows of one page, each the text of a JSON object.
void tamper(Faults& faults, std::string_view subject, std::vector<std::string>& rows);

}  // namespace sluice::sandbox
