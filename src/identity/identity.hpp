#pragma once
// The module as app/ and the services see it: one object that owns the rooms
// and follows the change feed for them.

#include <memory>
#include <span>

#include "identity/accounts.hpp"
#include "identity/passwords.hpp"
#include "identity/sessions.hpp"
#include "identity/tokens.hpp"
#include "identity/uia.hpp"

namespace haechi::identity {

struct Options {
  AccountOptions accounts;
  SessionOptions sessions;
  PasswordOptions passwords;
  UiaOptions uia;
};

/// Lifecycle: run migrations(), construct, add_hooks(), then start the journal;
/// stop() before the journal stops. Loop thread only.
class Identity {
 public:
  Identity(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, Options options);
  ~Identity();

  static std::span<const store::Migration> migrations();

  Accounts& accounts() { return accounts_; }
  Sessions& sessions() { return sessions_; }
  RegistrationTokens& registration_tokens() { return registration_tokens_; }
  OpenIdTokens& openid() { return openid_; }
  /// For shared-secret registration: good once, on whichever node.
  Task<Result<std::string>> issue_nonce();
  Task<Result<bool>> spend_nonce(std::string nonce);
  Uia& uia() { return uia_; }

  /// Before the journal starts.
  void add_hooks(Hooks hooks);
  Task<void> stop();

 private:
  std::list<Hooks> hooks_;
  Passwords passwords_;
  Sessions sessions_;
  Accounts accounts_;
  RegistrationTokens registration_tokens_;
  OpenIdTokens openid_;
  RegistrationNonces nonces_;
  HandOver hand_over_;
  Uia uia_;
};

}  // namespace haechi::identity
