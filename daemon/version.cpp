#include "daemon/version.hpp"

#include <openssl/crypto.h>
#include <simdjson.h>
#include <sqlite3.h>

#include <boost/version.hpp>
#include <nlohmann/json.hpp>

#define SLUICE_TEXT_OF(x) #x
#define SLUICE_TEXT(x) SLUICE_TEXT_OF(x)

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0"
#endif
#ifndef SLUICE_COMMIT
#define SLUICE_COMMIT "unknown"
#endif

namespace sluice {

const std::string_view version = SLUICE_VERSION;
const std::string_view commit = SLUICE_COMMIT;

nlohmann::ordered_json version_json() {
  nlohmann::ordered_json json{{"version", version}, {"commit", commit}};
  json["libraries"] = {{"boost", fmt::format("{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000)},
                       {"sqlite", sqlite3_libversion()},
                       {"openssl", OpenSSL_version(OPENSSL_VERSION)},
                       {"simdjson", SLUICE_TEXT(SIMDJSON_VERSION)},
                       {"gcc", __VERSION__}};
  return json;
}

std::string version_text() {
  auto text = fmt::format("sluice {}\ncommit {}\n", version, commit);
  const auto json = version_json();
  for (const auto& [library, its] : json["libraries"].items())
    text += fmt::format("{} {}\n", library, its.get<std::string>());
  return text;
}

}  // namespace sluice
