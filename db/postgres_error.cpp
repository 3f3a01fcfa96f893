#include <array>

#include "db/postgres.hpp"

namespace sluice::pg {
namespace {

struct Rule {
  std::string_view prefix;  // of the SQLSTATE; the first that matches counts
  Remedy remedy;
  std::string_view advice;
};

// https://www.postgresql.org/docs/current/errcodes-appendix.html
constexpr std::array rules{
    Rule{"08", Remedy::retry, {}},
    Rule{"57P", Remedy::retry, "the server is restarting or failing over"},
    Rule{"57014", Remedy::retry, "the statement took longer than its time limit"},
    Rule{"40", Remedy::retry, {}},
    Rule{"53100", Remedy::retry, "the server's disk is full: free space or enlarge it"},
    Rule{"53200", Remedy::retry, "the server is out of memory"},
    Rule{"53300", Remedy::retry,
         "the server has no connection left: lower `max_connections` of the sink or raise the server's"},
    Rule{"53", Remedy::retry, {}},
    Rule{"55P03", Remedy::retry, "another session holds a lock on the table: see pg_locks"},
    Rule{"25006", Remedy::retry, "the server only reads: it is a replica, or a failover is under way"},
    Rule{"25P03", Remedy::retry, {}},
    Rule{"25P04", Remedy::retry, "the transaction took longer than the server's transaction_timeout"},
    Rule{"58", Remedy::retry, "the server could not read or write its files: see its log"},
    Rule{"23505", Remedy::retry, "somebody else wrote a row with the same key"},
    Rule{"28P01", Remedy::give_up, "check the user and the password"},
    Rule{"28", Remedy::give_up, "check the user, the password and the server's pg_hba.conf"},
    Rule{"3D000", Remedy::give_up, "create the database or correct its name in the URL"},
    Rule{"42501", Remedy::give_up, "grant the sink's user this privilege"},
    Rule{"42P01", Remedy::give_up, "if somebody dropped or renamed it, the next run makes it again"},
    Rule{"42703", Remedy::give_up, "if somebody dropped or renamed the column, the next run adds it again"},
};

const Rule* find(std::string_view sqlstate) {
  for (const auto& rule : rules)
    if (!sqlstate.empty() && sqlstate.starts_with(rule.prefix)) return &rule;
  return nullptr;
}

}  // namespace

Remedy remedy_for(std::string_view sqlstate) {
  if (sqlstate.empty()) return Remedy::retry;
  const auto* rule = find(sqlstate);
  return rule ? rule->remedy : Remedy::give_up;
}

std::string_view advice_for(std::string_view sqlstate) {
  const auto* rule = find(sqlstate);
  return rule ? rule->advice : std::string_view();
}

}  // namespace sluice::pg
