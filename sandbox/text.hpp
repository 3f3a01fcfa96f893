#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.hpp"

namespace sluice::sandbox {

// Everything the sandbox makes up comes from these: the same inputs give the same data on every machine.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

template <std::integral... N>
constexpr std::uint64_t hash_of(N... parts) {
  std::uint64_t h = 0;
  ((h = mix(h ^ static_cast<std::uint64_t>(parts))), ...);
  return h;
}

// A number in [low, high], chosen by the hash.
constexpr std::int64_t between(std::uint64_t hash, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(high - low + 1));
}

std::string url_decode(std::string_view text);
std::string percent_encode(std::string_view text);
// Meta's cursors: base64, with every "=" written "ZD".
std::string encode_cursor(std::string_view plain);
std::optional<std::string> decode_cursor(std::string_view cursor);
// A JSON string in ASCII, quotes included, as Meta escapes it.
std::string json_string(std::string_view text);
// At commas that stand outside of {}, () and [].
std::vector<std::string> split_list(std::string_view text);
std::optional<std::int64_t> to_int(std::string_view text);
// "2024-03-12T15:02:47-0700"
std::string format_meta_time(Instant when, const Zone& zone);
std::int64_t unix_seconds(Instant when);

}  // namespace sluice::sandbox
