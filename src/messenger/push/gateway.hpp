#pragma once
// Calls push gateways when something happened that a user's rules say is worth it.
// https://spec.matrix.org/v1.19/push-gateway-api/
//
// What waits to be sent is in memory only: after a crash, calls that were not
// made yet are lost (the next sync tells the client all the same).

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/metrics.hpp"
#include "base/task.hpp"
#include "messenger/options.hpp"
#include "messenger/push/pushers.hpp"
#include "messenger/push/unread.hpp"
#include "messenger/user/users.hpp"
#include "net/client.hpp"

namespace haechi::messenger {

/// One call: an event, or (without one) a new badge count.
struct PushNotice {
  RoomPtr room;
  EventPtr event;
  bool highlight = false;
  std::string sound;
  Instant since{};  ///< when it was queued
};

/// The body of POST /_matrix/push/v1/notify.
std::string push_body(const Pusher& pusher, const PushNotice& notice, std::int64_t unread);

/// Loop thread only. Lifecycle: construct, start() before the journal starts and
/// after Pushers::start, stop() before the journal stops.
class PushGateway final : public RoomObserver {
 public:
  PushGateway(Loop& loop, Rooms& rooms, Users& users, UnreadCounter& unread, Pushers& pushers, net::Client& client,
              Metrics& metrics, Options::Push options);
  ~PushGateway() override;

  void start(journal::Journal& journal);
  /// Drops what waits; calls under way are awaited (they have a deadline).
  Task<void> stop();

  void on_event(Room& room, const EventPtr& event) override;
  /// Exactly one node calls: the one that committed.
  void on_own_event(Room& room, const EventPtr& event) override;
  void on_loaded(Room& room) override;

 private:
  struct Lane;
  struct Target;
  struct Seen {
    RoomPtr room;
    EventPtr event;  ///< null: a receipt moved
  };
  void pushers_changed(std::string_view user);
  void offer(const std::string& user, Seen seen);
  Task<void> judge_all(std::shared_ptr<Target> target);
  void queue(const UserState& user, Target& target, PushNotice notice);
  Task<void> deliver_all(std::shared_ptr<Lane> lane);
  enum class Outcome { Done, Retry, Gone };
  Task<Outcome> deliver(std::shared_ptr<Lane> lane, PushNotice notice);
  Task<Result<std::int64_t>> unread_total(std::string user);

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  UnreadCounter& unread_;
  Pushers& pushers_;
  net::Client& client_;
  Options::Push options_;
  Counter& sent_;
  Counter& failed_;
  Counter& dropped_;
  TextMap<std::shared_ptr<Target>> targets_;
  Canceller stopping_;
  Scope scope_;
};

}  // namespace haechi::messenger
