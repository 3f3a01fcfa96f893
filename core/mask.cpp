#include "core/mask.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "core/error.hpp"

namespace sluice {
namespace {

// Bytes of the secret: 32 hex digits say 128 bits.
constexpr std::size_t least_key = 32;
// Of the 32 bytes of the HMAC. Among a thousand million values two collide with a chance of 10⁻²¹.
constexpr std::size_t kept_bytes = 16;

constexpr std::pair<std::string_view, Mask::Method> words[] = {
    {"hmac_sha256", Mask::Method::hmac_sha256}, {"redact", Mask::Method::redact}, {"partial", Mask::Method::partial}};

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

// The last `count` characters of UTF-8.
std::string_view last_characters(std::string_view text, std::size_t count) {
  auto at = text.size();
  for (; count > 0 && at > 0; --count) do
      --at;
    while (at > 0 && !begins_character(text[at]));
  return text.substr(at);
}

constexpr std::string_view pseudonym_begins = "hmac_sha256:";

bool is_hex(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_pseudonym(std::string_view text) {
  if (!text.starts_with(pseudonym_begins)) return false;
  text.remove_prefix(pseudonym_begins.size());
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || mask_key_id_fault(text.substr(0, colon))) return false;
  const auto digits = text.substr(colon + 1);
  return digits.size() == 2 * kept_bytes && std::all_of(digits.begin(), digits.end(), is_hex);
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

// Shows no more than what partial leaves of any text.
bool is_partial(std::string_view text) {
  const auto stars = text.find(redacted);
  if (stars == std::string_view::npos) return false;
  const auto before = text.substr(0, stars), after = text.substr(stars + redacted.size());
  if (after.starts_with('@')) return characters(before) <= 1 && after.size() > 1 && after.rfind('@') == 0;
  return before.empty() && characters(after) <= 4;
}

// Of an e-mail address the first letter and the domain: a***@example.com. Of anything else the last quarter of its
// characters, four at most: ***678.
std::string partial(std::string_view text) {
  const auto at = text.find('@');
  if (at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.rfind('@') == at) {
    const auto name = text.substr(0, at);
    std::size_t first = 1;
    while (first < name.size() && !begins_character(name[first])) ++first;
    // Of a name of one letter nothing would be hidden.
    return fmt::format("{}{}{}", first < name.size() ? name.substr(0, first) : "", redacted, text.substr(at));
  }
  return fmt::format("{}{}", redacted, last_characters(text, std::min<std::size_t>(4, characters(text) / 4)));
}

}  // namespace

void MaskKey::load() const {
  if (key_) return;
  auto key = secret_.resolve();
  if (key.reveal().size() < least_key)
    throw Error(Remedy::give_up,
                fmt::format("mask_key ({}): the key has {} characters, and needs {} at least; make one with: openssl "
                            "rand -hex 32",
                            secret_.describe(), key.reveal().size(), least_key));
  key_ = std::move(key);
}

std::string MaskKey::pseudonym(std::string_view text) const {
  load();
  const auto& key = key_->reveal();
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  const auto* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  if (made == nullptr || size < kept_bytes) throw Error(Remedy::give_up, "mask: HMAC-SHA256 failed");
  auto out = fmt::format("{}{}:", pseudonym_begins, id_);
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < kept_bytes; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

std::optional<std::string> mask_key_id_fault(std::string_view id) {
  const auto good = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (!id.empty() && id.size() <= 32 && std::all_of(id.begin(), id.end(), good)) return {};
  return "expected a name for the key that is stored with every value, like 2026-11: letters, digits, _ and -, 32 at "
         "most";
}

std::optional<Mask::Method> Mask::parse(std::string_view word) {
  for (const auto& [known, method] : words)
    if (known == word) return method;
  return {};
}

std::string_view to_string(Mask::Method method) {
  for (const auto& [word, known] : words)
    if (known == method) return word;
  return {};
}

std::string Mask::apply(std::string_view text) const {
  switch (method_) {
    case Method::hmac_sha256:
      return is_pseudonym(text) ? std::string(text) : key_->pseudonym(text);
    case Method::partial:
      return is_partial(text) ? std::string(text) : partial(text);
    case Method::redact:
      break;
  }
  return std::string(redacted);
}

}  // namespace sluice
