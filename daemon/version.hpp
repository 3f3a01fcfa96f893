#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice {

extern const std::string_view version;
// The commit that was built, "unknown" outside a clone.
extern const std::string_view commit;
// Version, commit and libraries, one per line.
std::string version_text();
// {"version": …, "commit": …, "libraries": {name: version}}
nlohmann::ordered_json version_json();

}  // namespace sluice
