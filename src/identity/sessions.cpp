#include "identity/sessions.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "identity/repo.hpp"
#include "identity/user_id.hpp"

namespace haechi::identity {
namespace {

constexpr std::size_t kSeenAtOnce = 500;
constexpr std::size_t kSeenMax = 200'000;
constexpr int kReadTries = 3;

/// Lets the committing node serve a new log-in without a read.
struct Opened final : journal::Payload {
  Sha256 token{};
  std::shared_ptr<const Session> session;
};

std::string device_data(std::string_view device_id) { return to_text(json::object{{"device_id", device_id}}); }

std::unexpected<Error> unknown_token(bool soft_logout) {
  return fail(Errc::UnknownToken, soft_logout ? "The access token has expired" : "The access token is not known",
              soft_logout ? "\"soft_logout\":true" : "\"soft_logout\":false");
}

std::string seen_key(std::string_view user_id, std::string_view device_id) {
  std::string key(user_id);
  key += '\0';
  key += device_id;
  return key;
}

}  // namespace

/// One read of authenticate(). Whoever changes while it is under way is noted, so
/// that an answer from before the change is not kept.
struct Sessions::Loading {
  explicit Loading(Sessions& s) : sessions(s) { s.loading_.push_back(this); }
  ~Loading() { std::erase(sessions.loading_, this); }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;
  Sessions& sessions;
  std::vector<std::string> touched;
};

Sessions::Sessions(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random,
                   SessionOptions options)
    : loop_(loop), readers_(readers), journal_(journal), random_(random), options_(options) {}

Sessions::~Sessions() = default;

// -- the memory --

void Sessions::drop(CachedList::iterator at) {
  const auto user = by_user_.find(std::string_view(at->session->user_id));
  std::erase(user->second, at->key);
  if (user->second.empty()) by_user_.erase(user);
  by_token_.erase(at->key);
  recent_.erase(at);
}

void Sessions::insert(const Sha256& key, std::shared_ptr<const Session> session) {
  if (const auto old = by_token_.find(key); old != by_token_.end()) drop(old->second);
  while (by_token_.size() >= std::max<std::size_t>(options_.cached_max, 1)) drop(std::prev(recent_.end()));
  by_user_[session->user_id].push_back(key);
  recent_.push_front({key, std::move(session)});
  by_token_.emplace(key, recent_.begin());
}

void Sessions::evict(std::string_view user_id, std::string_view device_id) {
  for (auto* l : loading_) l->touched.emplace_back(user_id);
  const auto user = by_user_.find(user_id);
  if (user == by_user_.end()) return;
  const auto keys = user->second;  // drop() changes it
  for (const auto& key : keys) {
    const auto at = by_token_.at(key);
    if (device_id.empty() || at->session->device_id == device_id) drop(at);
  }
}

std::shared_ptr<const Session> Sessions::try_authenticate_shared(std::string_view token) {
  const auto found = by_token_.find(sha256(token));
  if (found == by_token_.end()) return nullptr;
  const auto at = found->second;
  if (at->session->expires_ms && *at->session->expires_ms <= loop_.clock().wall_ms()) return nullptr;
  if (at != recent_.begin()) recent_.splice(recent_.begin(), recent_, at);
  return at->session;
}

const Session* Sessions::try_authenticate(std::string_view token) {
  const auto found = by_token_.find(sha256(token));
  if (found == by_token_.end()) return nullptr;
  const auto at = found->second;
  if (at->session->expires_ms && *at->session->expires_ms <= loop_.clock().wall_ms()) return nullptr;
  if (at != recent_.begin()) recent_.splice(recent_.begin(), recent_, at);
  return at->session.get();
}

Task<Result<std::shared_ptr<const Session>>> Sessions::authenticate(std::string token) {
  if (token.empty()) co_return fail(Errc::MissingToken, "An access token is needed");
  if (auto hit = try_authenticate_shared(token)) co_return hit;
  const Sha256 key = sha256(token);
  for (int tries = 1;; ++tries) {
    Loading loading(*this);
    auto read = co_await readers_.read(
        [key](store::Connection& c) -> Result<std::optional<repo::TokenRow>> { return repo::token(c, key); });
    CO_TRY(auto row, std::move(read));
    if (!row || row->kind != repo::TokenKind::Access) co_return unknown_token(false);
    if (row->session.expires_ms && *row->session.expires_ms <= loop_.clock().wall_ms()) co_return unknown_token(true);
    if (row->generation > row->session_generation) {
      // The first use of a refreshed token proves that it arrived.
      CO_TRY_DO(co_await confirm(row->session.id, row->generation));
    }
    auto session = std::make_shared<const Session>(std::move(row->session));
    const bool changed = std::ranges::find(loading.touched, session->user_id) != loading.touched.end();
    if (changed && tries < kReadTries) continue;
    if (!changed) insert(key, session);
    co_return session;
  }
}

Task<Result<>> Sessions::confirm(std::int64_t session_id, std::int64_t generation) {
  co_return co_await journal_.submit([session_id, generation](journal::Tx& tx) -> Result<> {
    if (repo::advance_session(tx.sql(), session_id, generation)) {
      repo::delete_tokens_older(tx.sql(), session_id, repo::TokenKind::Refresh, generation);
    }
    return {};
  });
}

void Sessions::follow(const journal::Entry& entry) {
  const auto device = [&] {
    const auto data = must_parse_object(entry.data);
    return std::string(get_string(data, "device_id").value_or(""));
  };
  switch (entry.kind) {
    case kUserChanged:
    case kUserDeactivated: evict(entry.subject, {}); break;
    case kTokensChanged: evict(entry.subject, device()); break;
    case kDeviceAdded: {
      const auto device_id = device();
      evict(entry.subject, device_id);
      if (const auto* opened = dynamic_cast<const Opened*>(entry.local.get())) insert(opened->token, opened->session);
      for (const auto* h : hooks_) {
        if (h->device_added) h->device_added(entry.subject, device_id);
      }
      break;
    }
    case kDeviceRenamed:
      for (const auto* h : hooks_) {
        if (h->device_changed) h->device_changed(entry.subject, device());
      }
      break;
    case kDeviceRemoved: {
      const auto device_id = device();
      evict(entry.subject, device_id);
      seen_.erase(seen_key(entry.subject, device_id));
      for (const auto* h : hooks_) {
        if (h->device_removed) h->device_removed(entry.subject, device_id);
      }
      break;
    }
    default: break;
  }
}

// -- opening and closing; the const members run on the commit thread and touch
// nothing but the transaction, the options and the hooks --

Result<Sessions::Draft> Sessions::draft(DeviceRequest request) {
  Draft d;
  if (request.device_id) {
    if (!is_valid_device_id(*request.device_id)) return fail(Errc::InvalidParam, "device_id is not valid");
    d.device_id = *std::move(request.device_id);
  } else {
    d.device_id = random_.text(10, Random::kUpper);
  }
  if (request.display_name) {
    if (request.display_name->size() > 1024) return fail(Errc::InvalidParam, "the display name is too long");
    d.display_name = std::move(request.display_name);
  }
  d.tokens.access_token = "hst_" + random_.text(40);
  if (request.refresh == Refresh::Yes) {
    d.tokens.refresh_token = "hsr_" + random_.text(40);
    d.tokens.expires_in_ms = options_.access_token_ms;
  }
  return d;
}

void Sessions::open(journal::Tx& tx, const UserRecord& user, const Draft& draft) const {
  auto& sql = tx.sql();
  if (repo::device(sql, user.user_id, draft.device_id)) {
    repo::delete_session_of(sql, user.user_id, draft.device_id);
  } else {
    repo::insert_device(sql, {.user_id = user.user_id,
                              .device_id = draft.device_id,
                              .display_name = draft.display_name,
                              .created_ms = tx.wall_ms()});
    for (const auto* h : hooks_) {
      if (h->device_added_tx) h->device_added_tx(tx, user.user_id, draft.device_id);
    }
  }
  auto session = std::make_shared<Session>();
  session->user_num = user.num;
  session->user_id = user.user_id;
  session->device_id = draft.device_id;
  session->guest = user.kind == UserKind::Guest;
  session->admin = user.admin;
  session->locked = user.locked;
  session->suspended = user.suspended;
  if (draft.tokens.expires_in_ms) session->expires_ms = tx.wall_ms() + *draft.tokens.expires_in_ms;

  auto opened = std::make_shared<Opened>();
  opened->token = sha256(draft.tokens.access_token);
  opened->session = session;
  session->id = tx.append(kDeviceAdded, user.user_id, device_data(draft.device_id), opened);
  repo::insert_session(sql, *session, tx.wall_ms());
  repo::insert_token(sql, opened->token, session->id, repo::TokenKind::Access, 0, session->expires_ms);
  if (draft.tokens.refresh_token) {
    repo::insert_token(sql, sha256(*draft.tokens.refresh_token), session->id, repo::TokenKind::Refresh, 0, {});
  }
}

void Sessions::remove_device(journal::Tx& tx, std::string_view user_id, std::string_view device_id) const {
  if (!repo::delete_device(tx.sql(), user_id, device_id)) return;
  repo::delete_session_of(tx.sql(), user_id, device_id);
  for (const auto* h : hooks_) {
    if (h->device_removed_tx) h->device_removed_tx(tx, user_id, device_id);
  }
  tx.append(kDeviceRemoved, user_id, device_data(device_id));
}

void Sessions::close_all(journal::Tx& tx, std::string_view user_id, std::string_view keep) const {
  for (const auto& d : repo::devices(tx.sql(), user_id)) {
    if (keep.empty() || d.device_id != keep) remove_device(tx, user_id, d.device_id);
  }
}

Task<Result<Tokens>> Sessions::refresh(std::string refresh_token) {
  Tokens fresh{.access_token = "hst_" + random_.text(40),
               .refresh_token = "hsr_" + random_.text(40),
               .expires_in_ms = options_.access_token_ms};
  const Sha256 spent = sha256(refresh_token);
  const Sha256 access = sha256(fresh.access_token);
  const Sha256 next = sha256(*fresh.refresh_token);
  auto done =
      co_await journal_.submit([spent, access, next, lifetime = options_.access_token_ms](journal::Tx& tx) -> Result<> {
        auto& sql = tx.sql();
        const auto row = repo::token(sql, spent);
        if (!row || row->kind != repo::TokenKind::Refresh) return unknown_token(false);
        // A token is good while nothing newer was used; this use ends what is older.
        if (row->generation < row->session_generation) return unknown_token(false);
        const auto id = row->session.id;
        repo::advance_session(sql, id, row->generation);
        repo::delete_tokens_older(sql, id, repo::TokenKind::Refresh, row->generation);
        repo::delete_tokens_older(sql, id, repo::TokenKind::Access, row->generation);
        // What an earlier use of the same token gave was never used: its answer was lost.
        repo::delete_tokens_newer(sql, id, row->generation);
        repo::insert_token(sql, access, id, repo::TokenKind::Access, row->generation + 1, tx.wall_ms() + lifetime);
        repo::insert_token(sql, next, id, repo::TokenKind::Refresh, row->generation + 1, {});
        tx.append(kTokensChanged, row->session.user_id, device_data(row->session.device_id));
        return {};
      });
  CO_TRY_DO(std::move(done));
  co_return fresh;
}

Task<Result<>> Sessions::logout(std::shared_ptr<const Session> session) {
  co_return co_await journal_.submit([this, session](journal::Tx& tx) -> Result<> {
    // The device may have been logged in anew since: that log-in is not ours to end.
    if (repo::session_exists(tx.sql(), session->id)) remove_device(tx, session->user_id, session->device_id);
    return {};
  });
}

Task<Result<>> Sessions::logout_all(std::string user_id) {
  co_return co_await journal_.submit([this, user_id](journal::Tx& tx) -> Result<> {
    close_all(tx, user_id);
    return {};
  });
}

// -- devices --

const Sessions::Seen* Sessions::noted(std::string_view user_id, std::string_view device_id) const {
  const auto found = seen_.find(seen_key(user_id, device_id));
  return found == seen_.end() ? nullptr : &found->second;
}

Task<Result<std::vector<Device>>> Sessions::devices(std::string user_id) {
  auto read = co_await readers_.read(
      [user_id](store::Connection& c) -> Result<std::vector<Device>> { return repo::devices(c, user_id); });
  CO_TRY(auto all, std::move(read));
  for (auto& d : all) {
    if (const auto* seen = noted(d.user_id, d.device_id)) {
      d.last_seen_ms = seen->at;
      d.last_seen_ip = seen->ip;
    }
  }
  co_return all;
}

Task<Result<Device>> Sessions::device(std::string user_id, std::string device_id) {
  auto read = co_await readers_.read([user_id, device_id](store::Connection& c) -> Result<std::optional<Device>> {
    return repo::device(c, user_id, device_id);
  });
  CO_TRY(auto d, std::move(read));
  if (!d) co_return fail(Errc::NotFound, "There is no such device");
  if (const auto* seen = noted(user_id, device_id)) {
    d->last_seen_ms = seen->at;
    d->last_seen_ip = seen->ip;
  }
  co_return *std::move(d);
}

Task<Result<>> Sessions::rename_device(std::string user_id, std::string device_id,
                                       std::optional<std::string> display_name) {
  if (display_name && display_name->size() > 1024) co_return fail(Errc::InvalidParam, "the display name is too long");
  co_return co_await journal_.submit([this, user_id, device_id, display_name](journal::Tx& tx) -> Result<> {
    if (!repo::rename_device(tx.sql(), user_id, device_id, display_name)) {
      return fail(Errc::NotFound, "There is no such device");
    }
    for (const auto* h : hooks_) {
      if (h->device_renamed_tx) h->device_renamed_tx(tx, user_id, device_id);
    }
    tx.append(kDeviceRenamed, user_id, device_data(device_id));
    return {};
  });
}

Task<Result<>> Sessions::delete_devices(std::string user_id, std::vector<std::string> device_ids) {
  co_return co_await journal_.submit([this, user_id, device_ids](journal::Tx& tx) -> Result<> {
    for (const auto& id : device_ids) remove_device(tx, user_id, id);
    return {};
  });
}

// -- last seen --

void Sessions::seen(const Session& session, std::string_view ip) {
  const Instant now = loop_.now();
  if (now < session.seen_again || stopping_) return;
  session.seen_again = now + options_.seen_every;
  if (seen_.size() >= kSeenMax) return;
  seen_[seen_key(session.user_id, session.device_id)] = {session.user_id, session.device_id, std::string(ip),
                                                         loop_.clock().wall_ms()};
  if (!flush_timer_.armed()) arm_flush();
}

void Sessions::arm_flush() {
  loop_.timers().arm(flush_timer_, loop_.now() + options_.seen_every, [this] { scope_.spawn(flush()); });
}

Task<void> Sessions::flush() {
  std::vector<Seen> all;
  for (auto& [key, seen] : std::exchange(seen_, {})) all.push_back(std::move(seen));
  for (std::size_t at = 0; at < all.size(); at += kSeenAtOnce) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(at + kSeenAtOnce, all.size()));
    std::vector<Seen> part(begin, end);
    const auto done = co_await journal_.submit([part = std::move(part)](journal::Tx& tx) -> Result<> {
      for (const auto& s : part) repo::set_last_seen(tx.sql(), s.user_id, s.device_id, s.at, s.ip);
      return {};
    });
    if (!done) log::warn("last_seen of some devices was not written", {{"why", done.error().message}});
  }
}

Task<void> Sessions::stop() {
  stopping_ = true;
  if (flush_timer_.armed()) loop_.timers().disarm(flush_timer_);
  co_await scope_.join();
  co_await flush();
}

Result<> require_unlocked(const Session& session) {
  if (!session.locked) return {};
  return fail(Errc::Locked, "This account has been locked", "\"soft_logout\":true");
}

Result<> require_not_guest(const Session& session) {
  if (!session.guest) return {};
  return fail(Errc::GuestsForbidden, "Guests may not do this");
}

}  // namespace haechi::identity
