#include "core/mask.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "core/error.hpp"

using namespace sluice;
using Catch::Contains;

namespace {

std::shared_ptr<const MaskKey> key_of(const std::string& secret, const std::string& id = "k1") {
  ::setenv("SLUICE_TEST_MASK_KEY", secret.c_str(), 1);
  auto key = std::make_shared<MaskKey>(id, TextRef(TextRef::From::env, "SLUICE_TEST_MASK_KEY"));
  if (secret.size() >= 32) key->load();
  return key;
}

std::string partial(std::string_view text) {
  return Mask(Mask::Method::partial).apply(text);
}

}  // namespace

TEST_CASE("pseudonyms are HMAC-SHA256 of the value's bytes, as RFC 4231 and any other program computes them") {
  const std::string rfc(131, '\xaa');
  CHECK(key_of(rfc, "rfc")->pseudonym("Test Using Larger Than Block-Size Key - Hash Key First") ==
        "hmac_sha256:rfc:60e431591ee0b67f0d8a26aacbf5b77f");
  CHECK(key_of(rfc, "rfc")
            ->pseudonym("This is a test using a larger than block-size key and a larger than block-size "
                        "data. The key needs to be hashed before being used by the HMAC algorithm.") ==
        "hmac_sha256:rfc:9b09ffa71b942fcb27635fbcd5b0e944");
  // What `openssl dgst -sha256 -hmac` and Python's hmac say of a key that `openssl rand -hex 32` gave.
  const auto key = key_of("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "2026-11");
  CHECK(key->pseudonym("120208325579370399") == "hmac_sha256:2026-11:ce73a5dfe70ef3dacf3579005c9073b3");
  CHECK(key->pseudonym("asha@example.com") == "hmac_sha256:2026-11:a45d75e5d6574ab5c1844ef48bfd72af");
  CHECK(key->pseudonym("") == "hmac_sha256:2026-11:a859f0192d6c039c1c206d41900e12e5");
  CHECK(key->pseudonym("さくら") == "hmac_sha256:2026-11:ad9c3a5314f39bf191408a14da39792c");
}

TEST_CASE("nothing is trimmed or lowered, and another key gives another pseudonym") {
  const auto key = key_of(std::string(32, 'a')), other = key_of(std::string(32, 'b'));
  CHECK(key->pseudonym("a@b.c") != key->pseudonym("A@b.c"));
  CHECK(key->pseudonym("a@b.c") != key->pseudonym("a@b.c "));
  CHECK(key->pseudonym("a@b.c") != other->pseudonym("a@b.c"));
  CHECK(key->pseudonym("a@b.c") == key_of(std::string(32, 'a'))->pseudonym("a@b.c"));
}

TEST_CASE("a key that is too short, or not there, is refused with the way to make one, and never shown") {
  try {
    key_of("canary-0123456789-canary-012345")->load();
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("31 characters") && Contains("32") && Contains("openssl rand -hex 32") &&
                                 Contains("SLUICE_TEST_MASK_KEY") && !Contains("canary"));
    CHECK_FALSE(error.passing());
  }
  CHECK_THROWS_AS(MaskKey("k", TextRef(TextRef::From::env, "SLUICE_TEST_NOT_THERE")).pseudonym("x"), Unresolved);
  for (const auto* id : {"k1", "2026-11", "a_b"}) CHECK_FALSE(mask_key_id_fault(id));
  for (const auto* id : {"", "a:b", "a b", "ключ", "123456789012345678901234567890123"}) CHECK(mask_key_id_fault(id));
}

TEST_CASE("partial leaves enough to recognise one's own, and no more") {
  CHECK(partial("asha@example.com") == "a***@example.com");
  CHECK(partial("a@example.com") == "***@example.com");
  CHECK(partial("さくら@example.jp") == "さ***@example.jp");
  CHECK(partial("+919812345678") == "***678");
  CHECK(partial("4111111111111111") == "***1111");
  CHECK(partial("41111111111111112222") == "***2222");
  CHECK(partial("Asha") == "***a");
  CHECK(partial("さくらさくらさく") == "***さく");
  for (const auto* nothing : {"", "abc", "7", "@", "a@"}) CHECK(partial(nothing) == "***");
  CHECK(partial("@handle") == "***e");
  CHECK(partial("a@b@c") == "***c");
}

TEST_CASE("what is masked already stays, whatever the key; what only begins like it does not") {
  const Mask by_key(Mask::Method::hmac_sha256, key_of(std::string(32, 'a')));
  const auto old = key_of(std::string(32, 'b'), "old")->pseudonym("x");
  CHECK(by_key.apply(old) == old);
  for (const auto& other : {old + "0", old.substr(1), old.substr(0, old.size() - 1),
                            std::string("hmac_sha256:a b:") + std::string(32, 'a')})
    CHECK(by_key.apply(other) != other);
  for (const auto* text : {"asha@example.com", "a@example.com", "+919812345678", "Asha", "", "さくら@example.jp"})
    CHECK(partial(partial(text)) == partial(text));
  CHECK(partial("***clear text") == "***ext");
  CHECK(partial("as***@example.com") == "a***@example.com");
}

TEST_CASE("redact leaves nothing") {
  CHECK(Mask(Mask::Method::redact).apply("asha@example.com") == "***");
  CHECK(Mask(Mask::Method::redact).apply("") == "***");
}
