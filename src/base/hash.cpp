#include "base/hash.hpp"

#include <openssl/evp.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace haechi {

namespace {

const EVP_MD* sha256_method() {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

EVP_MD_CTX* as_context(const auto& owner) { return static_cast<EVP_MD_CTX*>(owner.get()); }

}  // namespace

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex2(as_context(context_), sha256_method(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 failed");
  }
}

void Sha256Stream::Free::operator()(void* context) const noexcept {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context));
}

void Sha256Stream::update(std::string_view data) {
  if (EVP_DigestUpdate(as_context(context_), data.data(), data.size()) != 1) throw std::runtime_error("SHA-256 failed");
}

Sha256 Sha256Stream::finish() {
  Sha256 out;
  if (EVP_DigestFinal_ex(as_context(context_), out.data(), nullptr) != 1 ||
      EVP_DigestInit_ex2(as_context(context_), sha256_method(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 failed");
  }
  return out;
}

Sha256 sha256(std::string_view data) {
  const EVP_MD* const md = sha256_method();
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  Sha256 out;
  if (EVP_DigestInit_ex2(ctx.get(), md, nullptr) != 1 || EVP_DigestUpdate(ctx.get(), data.data(), data.size()) != 1 ||
      EVP_DigestFinal_ex(ctx.get(), out.data(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 failed");
  }
  return out;
}

std::uint64_t hash64(std::string_view data) {
  const auto digest = sha256(data);
  std::uint64_t v = 0;
  std::memcpy(&v, digest.data(), sizeof v);
  return v;
}

}  // namespace haechi
