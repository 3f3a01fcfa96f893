#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/settings.hpp"

namespace sluice::ct {

// `api_profile:` of a source.
inline constexpr Option profile_options[] = {
    {.name = "version",
     .value = Value::text,
     .help = "A name for the profile with the entries replaced; messages about the API's structure give it.",
     .fallback = "2026-08"},
    {.name = "entries",
     .value = Value::text_map,
     .help = "Entries to replace, like `key.records: records | data`; docs/sources/clevertap.md lists them all."},
};

// What is known of CleverTap's API, as data: hosts, paths, parameters, the members of its answers, and the words by
// which these are told apart. The connector holds none of them, so that an API that changes is followed in the
// configuration. An entry has one name, or several of which an answer may have any.
class ApiProfile {
 public:
  // The built-in profile with the entries that `api_profile` replaces; throws Error(give_up) for one that there is not.
  explicit ApiProfile(const Settings& api_profile);

  const std::string& version() const { return version_; }
  // The entry's first name: what is asked for.
  const std::string& at(std::string_view entry) const { return names(entry).front(); }
  // All names, the first one preferred.
  const std::vector<std::string>& names(std::string_view entry) const;
  // Whether `text` has one of the entry's names in it, in whatever case.
  bool says(std::string_view entry, std::string_view text) const;
  // Whether any answer has a member of this name.
  bool knows_member(std::string_view name) const;

 private:
  std::string version_;
  std::map<std::string, std::vector<std::string>, std::less<>> entries_;
};

}  // namespace sluice::ct
