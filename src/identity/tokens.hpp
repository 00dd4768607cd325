#pragma once
// Tokens that are not sessions: to register, to prove oneself to a widget
// (OpenID), and Synapse's shared-secret registration.

#include <map>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "identity/error.hpp"
#include "identity/types.hpp"

namespace haechi::identity {

/// Loop thread only.
class RegistrationTokens {
 public:
  RegistrationTokens(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random);

  struct Create {
    std::optional<std::string> token;  ///< generated when absent; else 1 to 64 of [A-Za-z0-9._~-]
    std::optional<std::int64_t> uses_allowed;
    std::optional<WallMs> expires_ms;
  };
  /// Errc::InvalidParam when it is malformed or exists.
  Task<Result<RegistrationToken>> create(Create request);
  struct Change {
    std::optional<std::optional<std::int64_t>> uses_allowed;  ///< outer: leave as it is
    std::optional<std::optional<WallMs>> expires_ms;
  };
  Task<Result<RegistrationToken>> update(std::string token, Change change);
  Task<Result<RegistrationToken>> find(std::string token);
  Task<Result<std::vector<RegistrationToken>>> list();
  Task<Result<>> remove(std::string token);

  /// Could it be used now (those who passed the stage but have not yet registered counted)?
  Task<Result<bool>> valid(std::string token);
  /// Somebody passed the stage with it / registered or gave up.
  void reserve(const std::string& token) { ++pending_[token]; }
  void release(const std::string& token);

 private:
  Loop& loop_;
  store::Readers& readers_;
  journal::Journal& journal_;
  Random& random_;
  std::map<std::string, std::int64_t> pending_;
};

/// OpenID tokens that a client gives to a third party (/user/{userId}/openid/request_token).
class OpenIdTokens {
 public:
  OpenIdTokens(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random);
  struct Issued {
    std::string access_token;
    std::int64_t expires_in_s;
  };
  Task<Result<Issued>> issue(std::string user_id);
  /// The user's id. Errc::UnknownToken.
  Task<Result<std::string>> verify(std::string token);

 private:
  Loop& loop_;
  store::Readers& readers_;
  journal::Journal& journal_;
  Random& random_;
};

/// Hex HMAC-SHA1 over nonce, user, password and admin flag, separated by zero bytes
/// (Synapse's /_synapse/admin/v1/register; `user_type` is appended when given).
std::string shared_secret_mac(std::string_view secret, std::string_view nonce, std::string_view user,
                              std::string_view password, bool admin, std::string_view user_type = {});
/// In constant time; the case of `mac` does not matter.
bool shared_secret_mac_matches(std::string_view mac, std::string_view expected);

/// Nonces for it: each works once, for a minute. At most `max` are out. Loop thread only.
class RegistrationNonces {
 public:
  RegistrationNonces(const Clock& clock, Random& random, std::size_t max = 1000);
  std::string issue();
  bool spend(const std::string& nonce);

 private:
  const Clock& clock_;
  Random& random_;
  std::size_t max_;
  std::map<std::string, Instant> until_;
};

}  // namespace haechi::identity
