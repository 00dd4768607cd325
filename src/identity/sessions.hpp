#pragma once
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "identity/error.hpp"
#include "identity/types.hpp"

namespace haechi::identity {

struct SessionOptions {
  std::size_t cached_max = 200'000;
  std::int64_t access_token_ms = 60 * 60 * 1000;  ///< of refreshable sessions; the others do not expire
  Duration seen_every = std::chrono::seconds(60);
};

/// Who is logged in, where. Access tokens are known by their SHA-256 only; those
/// used lately are in memory, which the change feed keeps true, the others are
/// read when they come. Loop thread only.
class Sessions {
 public:
  Sessions(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, SessionOptions options);
  ~Sessions();

  /// The session of a token in memory that has not expired, else null: ask
  /// authenticate(). The pointer holds until the caller's next wait.
  const Session* try_authenticate(std::string_view token);
  std::shared_ptr<const Session> try_authenticate_shared(std::string_view token);

  /// Errc::UnknownToken (soft_logout true where only the token expired),
  /// Errc::MissingToken for an empty one. Locked and suspended users are
  /// authenticated: the caller asks require_unlocked() where it matters.
  Task<Result<std::shared_ptr<const Session>>> authenticate(std::string token);

  /// Notes that the device was used; cheap, written once a minute.
  void seen(const Session& session, std::string_view ip);

  /// A new pair of tokens. The old refresh token stays good until one of the new
  /// ones is used, so a client that lost the answer may ask again.
  Task<Result<Tokens>> refresh(std::string refresh_token);

  Task<Result<>> logout(std::shared_ptr<const Session> session);
  Task<Result<>> logout_all(std::string user_id);

  Task<Result<std::vector<Device>>> devices(std::string user_id);
  Task<Result<Device>> device(std::string user_id, std::string device_id);
  Task<Result<>> rename_device(std::string user_id, std::string device_id, std::optional<std::string> display_name);
  /// Those that do not exist are skipped.
  Task<Result<>> delete_devices(std::string user_id, std::vector<std::string> device_ids);

  // -- for the module's other rooms --

  void add_hooks(const Hooks* hooks) { hooks_.push_back(hooks); }
  /// Tokens made on the loop, stored by open() inside a transaction.
  struct Draft {
    Tokens tokens;
    std::string device_id;
    std::optional<std::string> display_name;
  };
  Result<Draft> draft(DeviceRequest device);
  /// Commit thread: makes or takes over the device, logs its old token out.
  void open(journal::Tx& tx, const UserRecord& user, const Draft& draft) const;
  /// Commit thread: removes the user's devices, all or all but `keep`.
  void close_all(journal::Tx& tx, std::string_view user_id, std::string_view keep = {}) const;
  void follow(const journal::Entry& entry);
  /// Writes what seen() noted and joins what runs.
  Task<void> stop();

 private:
  struct HashOfHash {
    std::size_t operator()(const Sha256& h) const noexcept {
      std::size_t v = 0;
      __builtin_memcpy(&v, h.data(), sizeof v);
      return v;
    }
  };
  struct Cached {
    Sha256 key;
    std::shared_ptr<const Session> session;
  };
  using CachedList = std::list<Cached>;
  struct Loading;
  struct Seen {
    std::string user_id, device_id, ip;
    WallMs at = 0;
  };

  void insert(const Sha256& key, std::shared_ptr<const Session> session);
  void evict(std::string_view user_id, std::string_view device_id);
  void drop(CachedList::iterator at);
  Task<Result<>> confirm(std::int64_t session_id, std::int64_t generation);
  void remove_device(journal::Tx& tx, std::string_view user_id, std::string_view device_id) const;
  void arm_flush();
  Task<void> flush();
  const Seen* noted(std::string_view user_id, std::string_view device_id) const;

  Loop& loop_;
  store::Readers& readers_;
  journal::Journal& journal_;
  Random& random_;
  SessionOptions options_;
  std::vector<const Hooks*> hooks_;
  CachedList recent_;  ///< front: used last
  std::unordered_map<Sha256, CachedList::iterator, HashOfHash> by_token_;
  std::unordered_map<std::string, std::vector<Sha256>, StringHash, std::equal_to<>> by_user_;
  std::vector<Loading*> loading_;
  std::unordered_map<std::string, Seen> seen_;  ///< by user and device
  bool stopping_ = false;
  TimerQueue::Timer flush_timer_;
  Scope scope_;
};

/// Errc::Locked with the detail that the specification asks for.
Result<> require_unlocked(const Session& session);
/// Errc::GuestsForbidden.
Result<> require_not_guest(const Session& session);

}  // namespace haechi::identity
