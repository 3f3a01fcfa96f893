#include "daemon/version.hpp"

#include <openssl/crypto.h>
#include <simdjson.h>
#include <sqlite3.h>

#include <boost/version.hpp>

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

std::string version_text() {
  return fmt::format("sluice {}\ncommit {}\nboost {}.{}\nsqlite {}\n{}\nsimdjson {}\ngcc {}\n", version, commit,
                     BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, sqlite3_libversion(),
                     OpenSSL_version(OPENSSL_VERSION), SLUICE_TEXT(SIMDJSON_VERSION), __VERSION__);
}

}  // namespace sluice
