#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/secret.hpp"
#include "core/settings.hpp"

// What stands in the place of a value that must not be stored.

namespace sluice {

// The key of masks. The secret is read when it is first needed, and stays; `id` is stored with every value, so that one
// can tell which key made it.
class MaskKey {
 public:
  MaskKey(std::string id, TextRef secret) : id_(std::move(id)), secret_(std::move(secret)) {}

  const std::string& id() const { return id_; }
  const TextRef& secret() const { return secret_; }
  // Reads the secret. Throws Unresolved, or Error(give_up) where it is too short to be a key.
  void load() const;
  // "hmac_sha256:" + id + ":" + the first 128 bits, in hex, of HMAC-SHA256 (RFC 2104) with the secret's bytes as key.
  std::string pseudonym(std::string_view text) const;
  bool same_as(const MaskKey& other) const { return id_ == other.id_ && secret_ == other.secret_; }

 private:
  std::string id_;
  TextRef secret_;
  mutable std::optional<Secret> key_;
};

// What is wrong with the name of a key; nothing where it is one.
std::optional<std::string> mask_key_id_fault(std::string_view id);

class Mask {
 public:
  enum class Method { hmac_sha256, redact, partial };
  // `key` is needed by hmac_sha256 alone.
  explicit Mask(Method method, std::shared_ptr<const MaskKey> key = nullptr) : method_(method), key_(std::move(key)) {}

  static std::optional<Method> parse(std::string_view word);

  Method method() const { return method_; }
  // Equal values stay equal, and different ones different.
  bool keeps_identity() const { return method_ == Method::hmac_sha256; }
  // What stands in the place of a text, taken byte for byte: no trimming, no change of case. What was masked by the
  // same method stays as it is, whatever the key: rows come back from the quarantine.
  std::string apply(std::string_view text) const;

 private:
  Method method_;
  std::shared_ptr<const MaskKey> key_;
};

std::string_view to_string(Mask::Method method);

// In the place of what is left of no value at all.
inline constexpr std::string_view redacted = "***";

}  // namespace sluice
