#pragma once
#include <string>

#include "sandbox/insights.hpp"

namespace sluice::sandbox {

std::int64_t minor_to_micros(const Account& account, std::int64_t minor);
// "14.35" of 14350000: at most six decimals, no trailing zeros.
void append_micros(std::string& out, std::int64_t micros);

// What the numbers of a list of actions are.
enum class Of { counts, values, costs, returns };
// The list, or false when it would be empty: Meta leaves empty lists, zero action types and zero windows out.
bool write_actions(std::string& out, const InsightsQuery& query, const Measures& m, Of what, const Account& account);
bool write_single(std::string& out, std::string_view action_type, std::int64_t value);

}  // namespace sluice::sandbox
