#include "tests/support/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace sluice::test {
namespace {

struct Free {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(std::FILE* p) const { std::fclose(p); }
};
using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("cannot make a certificate: ") + what);
}

template <typename Write>
void write_file(const std::string& path, Write write) {
  const std::unique_ptr<std::FILE, Free> file(std::fopen(path.c_str(), "w"));
  require(file && write(file.get()) == 1, path.c_str());
}

void extend(X509* certificate, int id, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
  require(extension && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
  X509_EXTENSION_free(extension);
}

Certificate blank(EVP_PKEY* key, const std::string& name, int from_days, int to_days) {
  static long serial = 1;
  constexpr long day = 24 * 60 * 60;
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from_days * day);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_days * day);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

struct Authority::Parts {
  Key key;
  Certificate certificate;
};

Authority::Authority(std::string folder, const std::string& name)
    : parts_(new Parts), folder_(std::move(folder)), ca_file_(folder_ + "/" + name + ".crt") {
  parts_->key.reset(EVP_EC_gen("P-256"));
  parts_->certificate = blank(parts_->key.get(), name, -3650, 3650);
  X509* certificate = parts_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
  require(X509_sign(certificate, parts_->key.get(), EVP_sha256()) > 0, "signing");
  write_file(ca_file_, [&](std::FILE* file) { return PEM_write_X509(file, certificate); });
}

Authority::~Authority() {
  delete parts_;
}

Authority::Issued Authority::issue(const std::string& file_name, const std::string& subject_names, int from_days,
                                   int to_days) {
  const Key key(EVP_EC_gen("P-256"));
  const auto certificate = blank(key.get(), file_name, from_days, to_days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(parts_->certificate.get()));
  extend(certificate.get(), NID_subject_alt_name, subject_names);
  require(X509_sign(certificate.get(), parts_->key.get(), EVP_sha256()) > 0, "signing");
  Issued issued{folder_ + "/" + file_name + ".crt", folder_ + "/" + file_name + ".key"};
  write_file(issued.certificate, [&](std::FILE* file) { return PEM_write_X509(file, certificate.get()); });
  write_file(issued.key, [&](std::FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return issued;
}

}  // namespace sluice::test
