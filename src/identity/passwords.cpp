#include "identity/passwords.hpp"

#include <sodium.h>

#include <stdexcept>

#include "base/text.hpp"

namespace haechi::identity {
namespace {

struct Cost {
  unsigned long long passes;
  std::size_t memory_bytes;
};

Cost cost_of(const PasswordOptions& o) { return {o.passes, o.memory_mib * 1024 * 1024}; }

Result<std::string> make_hash(const std::string& password, Cost cost) {
  char out[crypto_pwhash_STRBYTES];
  if (crypto_pwhash_str_alg(out, password.data(), password.size(), cost.passes, cost.memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(haechi::Errc::Unavailable, "no memory for hashing a password");
  }
  return std::string(out);
}

// A well-formed hash that nobody has the password of: verifying against it
// costs what a true one costs.
std::string unmatchable(const PasswordOptions& o) {
  std::uint8_t salt[16];
  std::uint8_t digest[32];
  randombytes_buf(salt, sizeof salt);
  randombytes_buf(digest, sizeof digest);
  return "$argon2id$v=19$m=" + std::to_string(o.memory_mib * 1024) + ",t=" + std::to_string(o.passes) + ",p=1$" +
         base64_encode(salt) + "$" + base64_encode(digest);
}

}  // namespace

Passwords::Passwords(Loop& loop, PasswordOptions options)
    : options_(options), pool_(loop, "passwords", options.threads, options.queue_max) {
  if (sodium_init() < 0) throw std::runtime_error("libsodium does not start");
  dummy_ = unmatchable(options_);
}

Result<> Passwords::acceptable(std::string_view password) const {
  if (password.size() > options_.bytes_max) {
    return fail(Errc::WeakPassword, "a password has at most " + std::to_string(options_.bytes_max) + " bytes");
  }
  if (!is_valid_utf8(password)) return fail(Errc::WeakPassword, "the password is not UTF-8");
  if (utf8_length(password) < options_.length_min) {
    return fail(Errc::WeakPassword, "a password needs at least " + std::to_string(options_.length_min) + " characters");
  }
  return {};
}

Task<Result<std::string>> Passwords::hash(std::string password) {
  CO_TRY_DO(acceptable(password));
  co_return co_await pool_.run([password = std::move(password), cost = cost_of(options_)]() mutable {
    auto hashed = make_hash(password, cost);
    sodium_memzero(password.data(), password.size());
    return hashed;
  });
}

Task<Result<Passwords::Verdict>> Passwords::verify(std::string password, std::optional<std::string> stored) {
  // What could never have been set is not worth the pool's time.
  if (password.size() > options_.bytes_max) co_return Verdict{};
  const bool known = stored.has_value();
  co_return co_await pool_.run([password = std::move(password), hash = std::move(stored).value_or(dummy_), known,
                                cost = cost_of(options_)]() mutable -> Result<Verdict> {
    Verdict verdict;
    verdict.right = crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0 && known;
    if (verdict.right && crypto_pwhash_str_needs_rehash(hash.c_str(), cost.passes, cost.memory_bytes) != 0) {
      if (auto again = make_hash(password, cost)) verdict.rehashed = *std::move(again);
    }
    sodium_memzero(password.data(), password.size());
    return verdict;
  });
}

}  // namespace haechi::identity
