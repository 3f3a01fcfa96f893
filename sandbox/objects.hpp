#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sandbox/query.hpp"

namespace sluice::sandbox {

// An account or object as the API shows it: the fields asked for that are set. Throws where a field does not exist.
nlohmann::ordered_json account_json(const Account& account, const std::vector<Field>& fields, Instant now);
nlohmann::ordered_json object_json(const World& world, const Object& object, const std::vector<Field>& fields,
                                   Instant now);

}  // namespace sluice::sandbox
