#pragma once
#include <string>
#include <vector>

#include "sinks/sqlite_stage.hpp"

namespace sluice::sqlite {

struct PublishResult {
  Published published;
  bool deletion_suspended = false;  // by a rejected row that may be any row of the slice
};

// Rows, rejected rows, ledger and progress in one transaction: all of it, or nothing. `without`: columns that the slice
// does not have.
PublishResult publish(Database& database, const Target& target, Stage& stage, const Publication& publication,
                      const std::vector<std::string>& without, Instant now);
// The stage's rejects alone take the place of the slice's answers in the quarantine.
void set_aside(Database& database, const Target& target, const Stage& stage, Instant now);
// Load::replay.
Replayed replay(Database& database, const Target& target, Stage& stage, const std::vector<QuarantinedRow>& rows,
                Instant now);

}  // namespace sluice::sqlite
