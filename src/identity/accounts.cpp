#include "identity/accounts.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "identity/repo.hpp"
#include "identity/user_id.hpp"

namespace haechi::identity {
namespace {

constexpr std::int64_t kPageMax = 1000;

std::unexpected<Error> wrong_credentials() { return fail(Errc::WrongCredentials, "Invalid username or password"); }
std::unexpected<Error> no_such_user() { return fail(Errc::NotFound, "There is no such user"); }
std::unexpected<Error> user_in_use() { return fail(Errc::UserInUse, "User ID already taken"); }
std::unexpected<Error> deactivated_user() { return fail(Errc::Deactivated, "This account has been deactivated"); }

void tell(journal::Tx& tx, const UserRecord& user) { tx.append(kUserChanged, user.user_id, user_to_feed(user)); }

}  // namespace

Accounts::Accounts(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, Sessions& sessions,
                   Passwords& passwords, AccountOptions options)
    : readers_(readers),
      journal_(journal),
      random_(random),
      sessions_(sessions),
      passwords_(passwords),
      options_(std::move(options)),
      logins_(loop.clock(), options_.login_rate) {}

// -- the memory --

void Accounts::remember(std::shared_ptr<const UserRecord> user) {
  if (const auto old = by_id_.find(user->user_id); old != by_id_.end()) {
    const auto at = old->second;
    by_id_.erase(old);
    recent_.erase(at);
  }
  while (by_id_.size() >= std::max<std::size_t>(options_.cached_max, 1)) {
    by_id_.erase(recent_.back()->user_id);
    recent_.pop_back();
  }
  recent_.push_front(std::move(user));
  by_id_.emplace(recent_.front()->user_id, recent_.begin());
}

std::shared_ptr<const UserRecord> Accounts::cached(std::string_view user_id) {
  const auto found = by_id_.find(user_id);
  if (found == by_id_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found->second);
  return recent_.front();
}

Task<Result<std::shared_ptr<const UserRecord>>> Accounts::find(std::string user_id) {
  if (auto hit = cached(user_id)) co_return hit;
  const auto before = changes_;
  auto read = co_await readers_.read(
      [user_id](store::Connection& c) -> Result<std::optional<UserRecord>> { return repo::user(c, user_id); });
  CO_TRY(auto row, std::move(read));
  if (!row) co_return no_such_user();
  auto user = std::make_shared<const UserRecord>(*std::move(row));
  if (before == changes_) remember(user);
  co_return user;
}

void Accounts::follow(const journal::Entry& entry) {
  if (entry.kind == kUserChanged) {
    ++changes_;
    auto user = std::make_shared<const UserRecord>(user_from_feed(entry.subject, entry.data));
    remember(user);
    for (const auto* h : hooks_) {
      if (h->user_changed) h->user_changed(*user);
    }
  } else if (entry.kind == kUserDeactivated) {
    const auto erase = get_flag(must_parse_object(entry.data), "erase") ? Erase::Yes : Erase::No;
    for (const auto* h : hooks_) {
      if (entry.own && h->user_deactivated) h->user_deactivated(entry.subject, erase);
      if (!entry.own && h->user_deactivated_elsewhere) h->user_deactivated_elsewhere(entry.subject);
    }
  }
}

Task<Result<UserPage>> Accounts::list(std::int64_t from, std::int64_t limit) {
  limit = std::clamp<std::int64_t>(limit, 1, kPageMax);
  auto read = co_await readers_.read([from, limit](store::Connection& c) -> Result<std::vector<UserRecord>> {
    return repo::users_from(c, from, limit + 1);
  });
  CO_TRY(auto users, std::move(read));
  UserPage page{.users = std::move(users), .next = {}};
  if (std::ssize(page.users) > limit) {
    page.next = page.users.back().num;
    page.users.pop_back();
  }
  co_return page;
}

// -- making accounts --

Result<std::string> Accounts::new_localpart(std::string_view wanted) const {
  TRY(auto localpart, normalise_new_localpart(wanted, options_.server_name));
  if (options_.exclusive && options_.exclusive(localpart)) {
    return fail(Errc::Exclusive, "This user ID is reserved by an application service");
  }
  return localpart;
}

Task<Result<>> Accounts::check_available(std::string wanted) {
  CO_TRY(const auto localpart, new_localpart(wanted));
  const auto user_id = make_user_id(localpart, options_.server_name);
  if (cached(user_id)) co_return user_in_use();
  auto read =
      co_await readers_.read([user_id](store::Connection& c) -> Result<bool> { return repo::user_exists(c, user_id); });
  CO_TRY(const bool taken, std::move(read));
  if (taken) co_return user_in_use();
  co_return Result<>();
}

Task<Result<Registered>> Accounts::register_user(RegisterRequest request) {
  const bool guest = request.kind == UserKind::Guest;
  std::string user_id;  // a guest's is its number, known in the transaction
  std::optional<std::string> hash;
  if (!guest) {
    // Generated names begin with a letter: those of digits only are the guests'.
    const auto wanted = request.localpart.value_or("u" + random_.text(11, "abcdefghijklmnopqrstuvwxyz0123456789"));
    // Asked first because a hash is costly; the transaction asks again.
    if (request.kind == UserKind::User) CO_TRY_DO(co_await check_available(wanted));
    CO_TRY(const auto localpart, normalise_new_localpart(wanted, options_.server_name));
    user_id = make_user_id(localpart, options_.server_name);
    if (request.password) {
      CO_TRY(hash, co_await passwords_.hash(*std::move(request.password)));
    }
  }
  std::optional<Sessions::Draft> draft;
  if (request.login == Login::Yes) {
    CO_TRY(draft, sessions_.draft(std::move(request.device)));
  }
  auto done = co_await journal_.submit([this, guest, user_id, hash, draft, kind = request.kind, admin = request.admin,
                                        token = request.registration_token](journal::Tx& tx) -> Result<std::string> {
    auto& sql = tx.sql();
    if (token && !repo::use_registration_token(sql, *token, tx.wall_ms())) {
      return fail(Errc::Forbidden, "The registration token is no longer valid");
    }
    UserRecord user;
    user.num = repo::next_user_num(sql);
    user.user_id = guest ? make_user_id(std::to_string(user.num), options_.server_name) : user_id;
    user.kind = kind;
    user.created_ms = tx.wall_ms();
    user.admin = admin && !guest;
    user.has_password = hash.has_value();
    if (repo::user_exists(sql, user.user_id)) return user_in_use();
    repo::insert_user(sql, user, hash);
    tell(tx, user);
    for (const auto* h : hooks_) {
      if (h->user_created_tx) h->user_created_tx(tx, user);
    }
    if (draft) sessions_.open(tx, user, *draft);
    return user.user_id;
  });
  CO_TRY(auto id, std::move(done));
  Registered registered{.user_id = id, .login = {}};
  if (draft) registered.login = LoggedIn{id, std::move(draft->device_id), std::move(draft->tokens)};
  co_return registered;
}

// -- proving who one is --

Task<Result<>> Accounts::prove(std::string user_id, std::string password, std::string address) {
  const std::string key = user_id + " " + address;
  // Taken before the work, so that tries in parallel count; given back on success.
  CO_TRY_DO(logins_.take(key));
  auto read = co_await readers_.read([user_id](store::Connection& c) -> Result<std::optional<repo::Credentials>> {
    return repo::credentials(c, user_id);
  });
  CO_TRY(auto known, std::move(read));
  const auto stored = known ? known->password_hash : std::nullopt;
  CO_TRY(auto verdict, co_await passwords_.verify(std::move(password), stored));
  if (known && known->user.deactivated) co_return deactivated_user();
  if (!verdict.right) co_return wrong_credentials();
  logins_.forget(key);
  if (verdict.rehashed) {
    // A failure here changes nothing for the user; the next log-in tries again.
    (void)co_await journal_.submit([user_id, old = *stored, fresh = *verdict.rehashed](journal::Tx& tx) -> Result<> {
      repo::swap_password(tx.sql(), user_id, old, fresh);
      return {};
    });
  }
  co_return Result<>();
}

Task<Result<LoggedIn>> Accounts::login_password(std::string name, std::string password, std::string address,
                                                DeviceRequest device) {
  // A name of another server costs as much time as an unknown one of ours.
  auto user_id = resolve_login_name(name, options_.server_name).value_or("");
  // People type capitals; an old account that truly has them comes first.
  if (const auto folded = to_lower_ascii(user_id); folded != user_id && !user_id.empty()) {
    auto read = co_await readers_.read(
        [user_id](store::Connection& c) -> Result<bool> { return repo::user_exists(c, user_id); });
    CO_TRY(const bool exact, std::move(read));
    const auto colon = user_id.find(':');
    if (!exact) user_id.replace(0, colon, folded, 0, colon);
  }
  CO_TRY_DO(co_await prove(user_id, std::move(password), std::move(address)));
  co_return co_await log_in(std::move(user_id), std::move(device), {});
}

Task<Result<>> Accounts::check_password(std::string user_id, std::string password, std::string address) {
  return prove(std::move(user_id), std::move(password), std::move(address));
}

Task<Result<LoggedIn>> Accounts::login_token(std::string token, DeviceRequest device) {
  return log_in({}, std::move(device), sha256(token));
}

Task<Result<LoggedIn>> Accounts::login_trusted(std::string user_id, DeviceRequest device) {
  return log_in(std::move(user_id), std::move(device), {});
}

Task<Result<LoggedIn>> Accounts::log_in(std::string user_id, DeviceRequest device, std::optional<Sha256> spent_token) {
  CO_TRY(auto draft, sessions_.draft(std::move(device)));
  auto done = co_await journal_.submit([this, user_id, draft, spent_token](journal::Tx& tx) -> Result<std::string> {
    std::string id = user_id;
    if (spent_token) {
      auto owner = repo::take_login_token(tx.sql(), *spent_token, tx.wall_ms());
      if (!owner) return fail(Errc::WrongCredentials, "Invalid login token");
      id = *std::move(owner);
    }
    const auto user = repo::user(tx.sql(), id);
    if (!user) return no_such_user();
    if (user->deactivated) return deactivated_user();
    if (user->locked) return fail(Errc::Locked, "This account has been locked", "\"soft_logout\":true");
    sessions_.open(tx, *user, draft);
    return id;
  });
  CO_TRY(auto id, std::move(done));
  co_return LoggedIn{std::move(id), std::move(draft.device_id), std::move(draft.tokens)};
}

Task<Result<Accounts::LoginToken>> Accounts::issue_login_token(std::string user_id) {
  LoginToken issued{.token = "hlt_" + random_.text(40), .expires_in_ms = options_.login_token_ms};
  auto done = co_await journal_.submit(
      [user_id, hash = sha256(issued.token), lifetime = options_.login_token_ms](journal::Tx& tx) -> Result<> {
        const auto user = repo::user(tx.sql(), user_id);
        if (!user || user->deactivated) return no_such_user();
        repo::insert_login_token(tx.sql(), hash, user_id, tx.wall_ms() + lifetime, tx.wall_ms());
        return {};
      });
  CO_TRY_DO(std::move(done));
  co_return issued;
}

// -- changing and ending accounts --

Task<Result<>> Accounts::change_password(std::string user_id, std::string password, LogoutOthers others,
                                         std::string keep_device) {
  CO_TRY(auto hash, co_await passwords_.hash(std::move(password)));
  co_return co_await journal_.submit([this, user_id, hash, others, keep_device](journal::Tx& tx) -> Result<> {
    auto user = repo::user(tx.sql(), user_id);
    if (!user) return no_such_user();
    if (user->deactivated) return deactivated_user();
    if (user->kind == UserKind::Guest) return fail(Errc::GuestsForbidden, "Guests have no password");
    repo::set_password(tx.sql(), user_id, hash);
    user->has_password = true;
    tell(tx, *user);
    repo::delete_small_tokens(tx.sql(), user_id);
    if (others == LogoutOthers::Yes) sessions_.close_all(tx, user_id, keep_device);
    return {};
  });
}

Task<Result<>> Accounts::deactivate(std::string user_id, Erase erase) {
  co_return co_await journal_.submit([this, user_id, erase](journal::Tx& tx) -> Result<> {
    auto& sql = tx.sql();
    auto user = repo::user(sql, user_id);
    if (!user) return no_such_user();
    user->deactivated = true;
    user->has_password = false;
    user->admin = false;
    user->erased = user->erased || erase == Erase::Yes;
    repo::update_user(sql, *user);
    repo::set_password(sql, user_id, std::nullopt);
    repo::set_leave_pending(sql, user_id, true);
    repo::delete_small_tokens(sql, user_id);
    sessions_.close_all(tx, user_id);
    for (const auto* h : hooks_) {
      if (h->user_deactivated_tx) h->user_deactivated_tx(tx, user_id, erase);
    }
    tell(tx, *user);
    tx.append(kUserDeactivated, user_id, user->erased ? R"({"erase":true})" : R"({"erase":false})");
    return {};
  });
}

Task<Result<std::vector<Accounts::Deactivated>>> Accounts::deactivated_pending() {
  co_return co_await readers_.read([](store::Connection& c) -> Result<std::vector<Deactivated>> {
    std::vector<Deactivated> out;
    for (auto& u : repo::leaving_users(c)) {
      out.push_back({std::move(u.user_id), u.erased ? Erase::Yes : Erase::No});
    }
    return out;
  });
}

Task<Result<>> Accounts::deactivated_done(std::string user_id) {
  co_return co_await journal_.submit([user_id](journal::Tx& tx) -> Result<> {
    repo::set_leave_pending(tx.sql(), user_id, false);
    return {};
  });
}

Task<Result<>> Accounts::change_record(std::string user_id, std::function<void(UserRecord&)> change) {
  co_return co_await journal_.submit([user_id, change](journal::Tx& tx) -> Result<> {
    auto user = repo::user(tx.sql(), user_id);
    if (!user) return no_such_user();
    if (user->deactivated) return deactivated_user();
    change(*user);
    repo::update_user(tx.sql(), *user);
    tell(tx, *user);
    return {};
  });
}

Task<Result<>> Accounts::set_locked(std::string user_id, bool locked) {
  return change_record(std::move(user_id), [locked](UserRecord& u) { u.locked = locked; });
}

Task<Result<>> Accounts::set_suspended(std::string user_id, bool suspended) {
  return change_record(std::move(user_id), [suspended](UserRecord& u) { u.suspended = suspended; });
}

Task<Result<>> Accounts::set_admin(std::string user_id, bool admin) {
  return change_record(std::move(user_id), [admin](UserRecord& u) { u.admin = admin; });
}

}  // namespace haechi::identity
