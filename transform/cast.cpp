#include "transform/cast.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace sluice {
namespace {

// What of a value a message may show.
std::string shown(std::string_view text) {
  return text.size() <= 40 ? fmt::format("'{}'", text) : fmt::format("'{}…'", text.substr(0, 40));
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// [-+]digits[.digits] → sign, digits before and after the point, without surplus zeros.
struct Digits {
  bool negative = false;
  std::string whole, fraction;
};

std::optional<Digits> read_decimal(std::string_view text) {
  Digits d;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    d.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const auto point = text.find('.');
  d.whole = text.substr(0, point);
  if (point != std::string_view::npos) {
    d.fraction = text.substr(point + 1);
    if (!all_digits(d.fraction)) return {};
  }
  if (!all_digits(d.whole)) return {};
  d.whole.erase(0, std::min(d.whole.find_first_not_of('0'), d.whole.size() - 1));
  return d;
}

void round_to(Digits& d, std::size_t scale) {
  if (d.fraction.size() <= scale) return;
  const bool up = d.fraction[scale] >= '5';
  d.fraction.resize(scale);
  if (!up) return;
  auto digits = d.whole + d.fraction;
  auto i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i > 0)
    ++digits[i - 1];
  else
    digits.insert(digits.begin(), '1');
  d.whole = digits.substr(0, digits.size() - scale);
  d.fraction = digits.substr(digits.size() - scale);
}

std::string print(const Digits& d) {
  const bool zero = (d.whole + d.fraction).find_first_not_of('0') == std::string::npos;
  auto text = (d.negative && !zero ? "-" : "") + d.whole;
  if (!d.fraction.empty()) text += '.' + d.fraction;
  return text;
}

std::optional<std::string> fit_decimal(std::string_view text, DataType to, std::string& fault) {
  auto digits = read_decimal(text);
  if (!digits) {
    fault = fmt::format("{} is not a decimal number", shown(text));
    return {};
  }
  if (to.precision > 0) {
    round_to(*digits, to.scale);
    const auto whole = digits->whole == "0" ? 0 : digits->whole.size();
    if (whole > static_cast<std::size_t>(to.precision - to.scale)) {
      fault = fmt::format("{} does not fit {}", shown(text), to_string(to));
      return {};
    }
  }
  return print(*digits);
}

std::optional<std::int64_t> read_int64(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

// "12" and "12.000" are whole numbers, "12.5" is not.
std::optional<std::int64_t> whole_number(std::string_view text) {
  const auto digits = read_decimal(text);
  if (!digits || digits->fraction.find_first_not_of('0') != std::string::npos) return {};
  return read_int64((digits->negative ? "-" : "") + digits->whole);
}

std::optional<bool> read_boolean(std::string_view text) {
  if (text == "true" || text == "t" || text == "1") return true;
  if (text == "false" || text == "f" || text == "0") return false;
  return {};
}

std::optional<std::int64_t> read_time(std::string_view text) {
  // A time is an instant of 1970-01-01.
  const auto when = parse_instant(fmt::format("1970-01-01T{}Z", text));
  if (!when) return {};
  return when->time_since_epoch().count();
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

// The value as the text that a person would write, and that every other type is read back from.
std::string text_of(const Batch& batch, const Cell& cell, DataType type) {
  if (cell.kind == Kind::text) return std::string(batch.text(cell));
  if (cell.kind == Kind::float64) return fmt::format("{}", cell.real);
  switch (type.type) {
    case Type::boolean: return cell.integer ? "true" : "false";
    case Type::date: return format_day(Day(1970, 1, 1) + cell.integer);
    case Type::timestamp: return format_instant(Instant(Duration(cell.integer)));
    case Type::time: {
      const auto text = format_instant(Instant(Duration(cell.integer)));
      return text.substr(11, text.size() - 12);
    }
    default: return std::to_string(cell.integer);
  }
}

}  // namespace

bool can_cast(DataType from, DataType to) {
  if (from.type == to.type || to.type == Type::text) return true;
  switch (from.type) {
    case Type::text: return to.type != Type::bytes && to.type != Type::json;
    case Type::int64: return to.type == Type::decimal || to.type == Type::float64 || to.type == Type::boolean;
    case Type::decimal: return to.type == Type::int64 || to.type == Type::float64;
    case Type::float64: return to.type == Type::int64;
    case Type::boolean: return to.type == Type::int64;
    case Type::timestamp: return to.type == Type::date;
    case Type::date: return to.type == Type::timestamp;
    default: return false;
  }
}

std::optional<Cell> cast_cell(Batch& batch, const Cell& cell, DataType from, DataType to, std::string& fault) {
  if (cell.is_null() || from == to) return cell;
  const auto text = text_of(batch, cell, from);
  const auto number = [&](std::optional<std::int64_t> value) -> std::optional<Cell> {
    if (value) return Cell::of(*value);
    fault = fmt::format("{} is not {} {}", shown(text), to.type == Type::int64 ? "an" : "a", to_string(to));
    return {};
  };
  switch (to.type) {
    case Type::text:
      return cell.kind == Kind::text ? cell : batch.add_text(text);
    case Type::decimal:
      if (const auto fitted = fit_decimal(text, to, fault)) return batch.add_text(*fitted);
      return {};
    case Type::int64:
      if (from.type == Type::boolean) return cell;
      return number(whole_number(text));
    case Type::float64: {
      double value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return number({});
      return Cell::of(value);
    }
    case Type::boolean: {
      const auto value = read_boolean(text);
      return number(value ? std::optional<std::int64_t>(*value) : std::nullopt);
    }
    case Type::date: {
      const auto day = parse_day(std::string_view(text).substr(0, from.type == Type::timestamp ? 10 : text.size()));
      return number(day ? std::optional<std::int64_t>(*day - Day(1970, 1, 1)) : std::nullopt);
    }
    case Type::time: return number(read_time(text));
    case Type::timestamp: {
      const auto when = parse_instant(from.type == Type::date ? text + "T00:00:00Z" : text);
      return number(when ? std::optional<std::int64_t>(when->time_since_epoch().count()) : std::nullopt);
    }
    case Type::uuid: {
      if (!is_uuid(text)) return number({});
      auto lower = text;
      std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      return batch.add_text(lower);
    }
    case Type::json:
    case Type::bytes: break;
  }
  fault = fmt::format("{} cannot be cast to {}", to_string(from), to_string(to));
  return {};
}

}  // namespace sluice
