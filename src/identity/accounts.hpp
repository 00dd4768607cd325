#pragma once
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "identity/error.hpp"
#include "identity/passwords.hpp"
#include "identity/rate_limiter.hpp"
#include "identity/sessions.hpp"
#include "identity/types.hpp"

namespace haechi::identity {

struct AccountOptions {
  std::string server_name;
  std::size_t cached_max = 100'000;
  /// Tries to log in, per user and address. per_second 0 switches it off.
  Rate login_rate{0.2, 10};
  std::int64_t login_token_ms = 2 * 60 * 1000;
  /// Set by app/ once there are application services: does one own this localpart alone?
  std::function<bool(std::string_view localpart)> exclusive;
};

struct RegisterRequest {
  std::optional<std::string> localpart;  ///< generated when absent; ignored for guests
  std::optional<std::string> password;
  UserKind kind = UserKind::User;
  bool admin = false;
  Login login = Login::Yes;
  DeviceRequest device;
  /// Used up in the same transaction; Errc::Forbidden when it no longer may be.
  std::optional<std::string> registration_token;
};
struct Registered {
  std::string user_id;
  std::optional<LoggedIn> login;
};

struct UserPage {
  std::vector<UserRecord> users;
  std::optional<std::int64_t> next;  ///< pass as `from`
};

/// Accounts: made, proven, changed and ended. Every change goes through the
/// journal and is durable when the task completes. Loop thread only.
class Accounts {
 public:
  Accounts(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, Sessions& sessions,
           Passwords& passwords, AccountOptions options);

  const std::string& server_name() const { return options_.server_name; }

  /// Errc::NotFound. Deactivated users are found.
  Task<Result<std::shared_ptr<const UserRecord>>> find(std::string user_id);
  /// Null when not in memory, which says nothing about whether the user exists.
  std::shared_ptr<const UserRecord> cached(std::string_view user_id);
  /// In order of creation; `from` is a user number, 0 to begin.
  Task<Result<UserPage>> list(std::int64_t from, std::int64_t limit);

  /// Errc::InvalidUsername, UserInUse, Exclusive.
  Task<Result<>> check_available(std::string localpart);
  Task<Result<Registered>> register_user(RegisterRequest request);
  /// Errc::WeakPassword: for those who want to say so before anything else is asked.
  Result<> check_new_password(std::string_view password) const { return passwords_.acceptable(password); }

  /// `name` is a localpart or a full id. Errc::WrongCredentials, LimitExceeded,
  /// Deactivated, Overloaded.
  Task<Result<LoggedIn>> login_password(std::string name, std::string password, std::string address,
                                        DeviceRequest device);
  /// m.login.token: works once. Errc::WrongCredentials.
  Task<Result<LoggedIn>> login_token(std::string token, DeviceRequest device);
  /// Logs in somebody who was authenticated otherwise (admin, OIDC, application service).
  Task<Result<LoggedIn>> login_trusted(std::string user_id, DeviceRequest device);
  struct LoginToken {
    std::string token;
    std::int64_t expires_in_ms;
  };
  Task<Result<LoginToken>> issue_login_token(std::string user_id);
  /// For user-interactive auth: right password for this very user? Rate limited like a log-in.
  Task<Result<>> check_password(std::string user_id, std::string password, std::string address);

  /// `keep_device` stays logged in; may be empty.
  Task<Result<>> change_password(std::string user_id, std::string password, LogoutOthers others,
                                 std::string keep_device);
  /// Ends the account: no password, no devices, no tokens; the name stays taken.
  Task<Result<>> deactivate(std::string user_id, Erase erase);
  /// Deactivated users whose rooms are still to be left: asked at start, because a
  /// crash may come between the commit and the leaving.
  struct Deactivated {
    std::string user_id;
    Erase erase;
  };
  Task<Result<std::vector<Deactivated>>> deactivated_pending();
  Task<Result<>> deactivated_done(std::string user_id);

  Task<Result<>> set_locked(std::string user_id, bool locked);
  Task<Result<>> set_suspended(std::string user_id, bool suspended);
  Task<Result<>> set_admin(std::string user_id, bool admin);

  // -- for the module's other rooms --
  void add_hooks(const Hooks* hooks) { hooks_.push_back(hooks); }
  void follow(const journal::Entry& entry);

 private:
  using Recent = std::list<std::shared_ptr<const UserRecord>>;
  void remember(std::shared_ptr<const UserRecord> user);
  Task<Result<>> prove(std::string user_id, std::string password, std::string address);
  Task<Result<LoggedIn>> log_in(std::string user_id, DeviceRequest device, std::optional<Sha256> spent_token);
  Task<Result<>> change_record(std::string user_id, std::function<void(UserRecord&)> change);
  Result<std::string> new_localpart(std::string_view wanted) const;

  store::Readers& readers_;
  journal::Journal& journal_;
  Random& random_;
  Sessions& sessions_;
  Passwords& passwords_;
  AccountOptions options_;
  RateLimiter logins_;
  std::vector<const Hooks*> hooks_;
  Recent recent_;  ///< front: used last
  std::unordered_map<std::string_view, Recent::iterator, StringHash, std::equal_to<>> by_id_;
  std::uint64_t changes_ = 0;  ///< counts followed changes, so that a late read is not remembered
};

}  // namespace haechi::identity
