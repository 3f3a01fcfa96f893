#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Decimal numbers as text, of any length. The canonical form is [-]digits[.digits] without surplus zeros: "14.5",
// "-0.07", "0"; equal numbers have equal texts.

namespace sluice {

bool is_canonical_decimal(std::string_view text);

// The canonical form of a number as JSON, SQL or a person writes it: "+014.50", ".5", "1.5e3". Nothing for anything
// else
// ("NaN", "1,234.5", "") and for exponents beyond ±300.
std::optional<std::string> canonical_decimal(std::string_view text);

// A canonical decimal rounded to `scale` digits after the point, half away from zero; nothing when more than
// `precision - scale` digits stand before it.
std::optional<std::string> round_decimal(std::string_view canonical, int precision, int scale);

// The number, where the canonical decimal is whole and fits.
std::optional<std::int64_t> decimal_to_int64(std::string_view canonical);

}  // namespace sluice
