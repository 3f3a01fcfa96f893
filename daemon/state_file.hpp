#pragma once
#include <memory>
#include <string>

#include "db/sqlite.hpp"

namespace sluice {

// The state's file with this sluice's schema. read_write makes the file and its folders where they are missing and
// brings an older schema up to date. Throws where there is none, it cannot be made or seen, or a later sluice wrote it.
std::unique_ptr<sqlite::Database> open_state(const std::string& path, sqlite::Access access);

// Takes the write lock and writes a page, or throws why it cannot. Asked often, it does not wait for the disk: the page
// says what it said before, even where a later sluice has written it.
void probe_state(sqlite::Database& database);

// Where the state lies when the file does not say: $STATE_DIRECTORY/state.db (systemd), else
// $XDG_STATE_HOME/sluice/state.db, else ~/.local/state/sluice/state.db.
std::string default_state_path();

}  // namespace sluice
