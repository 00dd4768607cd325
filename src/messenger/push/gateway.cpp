#include "messenger/push/gateway.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "messenger/ephemeral/receipts.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kOffersMax = 500;   ///< events of one user that wait to be judged
constexpr std::size_t kNoticesMax = 100;  ///< calls of one pusher that wait
constexpr auto kCallTimeout = std::chrono::seconds(10);
constexpr auto kFirstPause = std::chrono::seconds(1);
constexpr auto kLongestPause = std::chrono::minutes(5);
constexpr auto kGiveUpAfter = std::chrono::hours(1);
constexpr std::uint64_t kAnswerBytesMax = std::uint64_t{64} * 1024;

bool is_invitation_to(const Event& e, std::string_view user) {
  return e.is_state("m.room.member", user) && e.membership() == "invite";
}

bool rejects(std::string_view answer, std::string_view pushkey) {
  const auto o = parse_json_object(answer);
  const auto* list = o ? get_array(*o, "rejected") : nullptr;
  return list && std::ranges::any_of(
                     *list, [&](const json::value& v) { return v.is_string() && sv(v.get_string()) == pushkey; });
}

}  // namespace

/// Calls for one pusher, in order, one at a time.
struct PushGateway::Lane {
  std::string user;
  Pushers::Key key;
  std::deque<PushNotice> waiting;
  bool running = false;
  std::int64_t badge = -1;  ///< the count that the device has
};

/// What happened to one user and is not judged yet, and the lanes to their devices.
struct PushGateway::Target {
  std::string user;
  std::deque<Seen> seen;
  bool running = false;
  std::map<Pushers::Key, std::shared_ptr<Lane>> lanes;
};

PushGateway::PushGateway(Loop& loop, Rooms& rooms, Users& users, UnreadCounter& unread, Pushers& pushers,
                         net::Client& client, Metrics& metrics, Options::Push options)
    : loop_(loop),
      rooms_(rooms),
      users_(users),
      unread_(unread),
      pushers_(pushers),
      client_(client),
      options_(std::move(options)),
      sent_(metrics.counter("haechi_push_sent_total", "Calls that push gateways took.")),
      failed_(metrics.counter("haechi_push_failed_total", "Calls to push gateways that failed.")),
      dropped_(metrics.counter("haechi_push_dropped_total", "Notifications that were given up.")) {}

PushGateway::~PushGateway() = default;

void PushGateway::start(journal::Journal& journal) {
  pushers_.on_changed = [this](std::string_view user) { pushers_changed(user); };
  rooms_.observe(*this);
  journal.subscribe([this](std::span<const journal::Entry> entries) {
    if (pushers_.all().empty()) return;
    for (const auto& e : entries) {
      if (e.kind != kind::kReceipt || !e.own) continue;
      const auto moved = receipt_of(e);
      auto room = rooms_.find(e.subject);
      if (room && pushers_.of(moved.user)) offer(moved.user, {.room = std::move(room), .event = nullptr});
    }
  });
}

Task<void> PushGateway::stop() {
  stopping_.cancel();
  for (auto& [user, target] : targets_) {
    target->seen.clear();
    for (auto& [key, lane] : target->lanes) lane->waiting.clear();
  }
  co_await scope_.join();
}

void PushGateway::pushers_changed(std::string_view user) {
  const auto* pushers = pushers_.of(user);
  if (const auto* state = users_.find(user)) {
    for (const auto& [num, ref] : state->rooms) {
      if (ref.membership != Membership::Join || !ref.room) continue;
      if (pushers) ref.room->pushed_users.emplace(user);
      else if (const auto it = ref.room->pushed_users.find(user); it != ref.room->pushed_users.end()) {
        ref.room->pushed_users.erase(it);
      }
    }
  } else {
    // On another node; or gone from memory, which is rare enough to look at every room.
    rooms_.each_in_memory([&](Room& room) {
      if (pushers && room.membership(user) == Membership::Join) room.pushed_users.emplace(user);
      else if (const auto it = room.pushed_users.find(user); it != room.pushed_users.end()) room.pushed_users.erase(it);
    });
  }
  const auto it = targets_.find(user);
  if (it == targets_.end()) return;
  std::erase_if(it->second->lanes, [&](const auto& l) { return !pushers || !pushers->contains(l.first); });
  if (!pushers) targets_.erase(it);
}

void PushGateway::on_loaded(Room& room) {
  const auto& all = pushers_.all();
  const auto& members = room.members();
  if (all.size() < members.size()) {
    for (const auto& [user, pushers] : all) {
      if (room.membership(user) == Membership::Join) room.pushed_users.insert(user);
    }
    return;
  }
  for (const auto& [user, event] : members) {
    if (event->membership() == "join" && all.contains(user)) room.pushed_users.insert(user);
  }
}

void PushGateway::on_event(Room& room, const EventPtr& event) {
  if (event->type != "m.room.member" || !event->state_key || !pushers_.of(*event->state_key)) return;
  if (event->membership() == "join") room.pushed_users.insert(*event->state_key);
  else room.pushed_users.erase(*event->state_key);
}

void PushGateway::on_own_event(Room& room, const EventPtr& event) {
  const auto holder = [&] { return rooms_.find(room.num); };
  if (event->type == "m.room.member" && event->state_key && pushers_.of(*event->state_key)) {
    if (is_invitation_to(*event, *event->state_key)) offer(*event->state_key, {.room = holder(), .event = event});
  }
  for (const auto& user : room.pushed_users) {
    if (user != event->sender) offer(user, {.room = holder(), .event = event});
  }
}

void PushGateway::offer(const std::string& user, Seen seen) {
  if (stopping_.cancelled() || !seen.room) return;
  auto& target = targets_[user];
  if (!target) {
    target = std::make_shared<Target>();
    target->user = user;
  }
  if (target->seen.size() >= kOffersMax) {
    target->seen.pop_front();
    dropped_.add();
  }
  target->seen.push_back(std::move(seen));
  if (target->running) return;
  target->running = true;
  scope_.spawn(judge_all(target));
}

Task<void> PushGateway::judge_all(std::shared_ptr<Target> target) {
  while (!target->seen.empty()) {
    const auto user = co_await users_.get(target->user);
    if (!user) {
      log::warn("push: a user cannot be read", {{"user", target->user}, {"error", user.error().message}});
      target->seen.clear();
      break;
    }
    while (!target->seen.empty()) {
      const Seen seen = std::move(target->seen.front());
      target->seen.pop_front();
      if (!seen.event) {
        queue(**user, *target, {.room = seen.room, .event = nullptr, .since = loop_.now()});
        continue;
      }
      const auto& e = *seen.event;
      if (!e.redacted_by.empty() || (*user)->ignored.contains(e.sender)) continue;
      const auto actions = unread_.judge(**user, *seen.room, seen.event);
      if (!actions.notify) continue;
      queue(**user, *target,
            {.room = seen.room,
             .event = seen.event,
             .highlight = actions.highlight,
             .sound = std::string(actions.sound),
             .since = loop_.now()});
    }
  }
  target->running = false;
}

void PushGateway::queue(const UserState& user, Target& target, PushNotice notice) {
  const auto* pushers = pushers_.of(user.id);
  if (!pushers) return;
  for (const auto& [key, pusher] : *pushers) {
    auto& lane = target.lanes[key];
    if (!lane) lane = std::make_shared<Lane>(Lane{.user = user.id, .key = key, .waiting = {}});
    // A badge that still waits will be counted anew when its turn comes.
    if (!notice.event && !lane->waiting.empty() && !lane->waiting.back().event) continue;
    if (lane->waiting.size() >= kNoticesMax) {
      lane->waiting.pop_front();
      dropped_.add();
    }
    lane->waiting.push_back(notice);
    if (lane->running) continue;
    lane->running = true;
    scope_.spawn(deliver_all(lane));
  }
}

Task<void> PushGateway::deliver_all(std::shared_ptr<Lane> lane) {
  Duration pause = kFirstPause;
  while (!lane->waiting.empty() && !stopping_.cancelled()) {
    PushNotice notice = std::move(lane->waiting.front());
    lane->waiting.pop_front();
    const auto outcome = co_await deliver(lane, notice);
    if (outcome == Outcome::Gone) {
      lane->waiting.clear();
      break;
    }
    if (outcome == Outcome::Done) {
      pause = kFirstPause;
      continue;
    }
    failed_.add();
    if (loop_.now() - notice.since >= kGiveUpAfter || lane->waiting.size() >= kNoticesMax) dropped_.add();
    else lane->waiting.push_front(std::move(notice));
    Waiter waiter(loop_);
    co_await waiter.wait(loop_.now() + pause, &stopping_);
    pause = std::min<Duration>(2 * pause, kLongestPause);
  }
  lane->running = false;
}

Task<PushGateway::Outcome> PushGateway::deliver(std::shared_ptr<Lane> lane, PushNotice notice) {
  if (notice.event && has_read(*notice.room, lane->user, *notice.event)) co_return Outcome::Done;
  const auto unread = co_await unread_total(lane->user);
  if (!unread) co_return Outcome::Retry;
  if (!notice.event && *unread == lane->badge) co_return Outcome::Done;

  // The pusher as it is now: it may have been changed or removed while this waited.
  const auto* pushers = pushers_.of(lane->user);
  const auto it = pushers ? pushers->find(lane->key) : Pushers::OfUser::const_iterator{};
  if (!pushers || it == pushers->end()) co_return Outcome::Gone;
  net::ClientRequest request{.method = "POST",
                             .url = it->second.url(),
                             .headers = {{"Content-Type", "application/json"}},
                             .body = push_body(it->second, notice, *unread),
                             .response_bytes_max = kAnswerBytesMax,
                             .timeout = kCallTimeout,
                             .allowed_private_ranges = options_.allowed_ranges};
  const auto answer = co_await client_.send(std::move(request));
  if (!answer) {
    log::info("push: a gateway cannot be reached", {{"app_id", lane->key.first}, {"error", answer.error().message}});
    co_return Outcome::Retry;
  }
  if (answer->status >= 500 || answer->status == 429 || answer->status == 408) co_return Outcome::Retry;
  if (answer->status < 200 || answer->status >= 300) {
    // The gateway will not take this one however often it is asked.
    log::info("push: a gateway refused", {{"app_id", lane->key.first}, {"status", answer->status}});
    dropped_.add();
    co_return Outcome::Done;
  }
  sent_.add();
  lane->badge = *unread;
  if (!rejects(answer->body, lane->key.second)) co_return Outcome::Done;
  const auto removed = co_await pushers_.remove(lane->user, lane->key.first, lane->key.second);
  if (!removed) log::warn("push: a rejected pusher cannot be removed", {{"error", removed.error().message}});
  co_return Outcome::Gone;
}

Task<Result<std::int64_t>> PushGateway::unread_total(std::string user_id) {
  CO_TRY(const auto user, co_await users_.get(std::move(user_id)));
  std::vector<RoomPtr> rooms;
  for (const auto& [num, ref] : user->rooms) {
    if (ref.membership == Membership::Join && ref.room) rooms.push_back(ref.room);
  }
  std::int64_t total = 0;
  for (const auto& room : rooms) {
    CO_TRY(const auto* unread, co_await unread_.unread(user, room));
    total += unread->main.notify;
    for (const auto& [root, counts] : unread->threads) total += counts.notify;
  }
  co_return total;
}

}  // namespace haechi::messenger
