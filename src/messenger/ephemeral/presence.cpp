#include "messenger/ephemeral/presence.hpp"

#include <algorithm>
#include <set>

#include "messenger/ephemeral/repo.hpp"
#include "messenger/ephemeral/said.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr auto kOfflineAfter = std::chrono::seconds(30);
constexpr auto kSweepEvery = std::chrono::seconds(5);
constexpr auto kTellEvery = std::chrono::seconds(1);
constexpr WallMs kActiveMs = 5 * 60 * 1000;
/// How long a device that was away may still learn who was in a room that the user joined.
constexpr std::int64_t kArrivalUs = std::int64_t{10} * 60 * 1'000'000;
constexpr std::size_t kArrivalsMax = 32;
constexpr std::size_t kStatusBytesMax = 1024;
constexpr std::string_view kTopic = "presence";
/// So many sweeps apart the other nodes hear again who is here.
constexpr int kSweepsPerReminder = 12;
constexpr auto kBelieved = std::chrono::seconds(150);
constexpr std::size_t kRoomsSaidMax = 300;
/// So many changes are looked at one by one; where there are more, the members of the rooms are.
constexpr std::ptrdiff_t kChangesLookedAt = 256;

bool carries_presence(const Room& room) { return room.joined_count() <= Presence::kCrowdMax; }

}  // namespace

std::optional<PresenceState> parse_presence(std::string_view text) {
  if (text == "online") return PresenceState::Online;
  if (text == "unavailable") return PresenceState::Unavailable;
  if (text == "offline") return PresenceState::Offline;
  return std::nullopt;
}

std::string_view to_string(PresenceState state) {
  switch (state) {
    case PresenceState::Online: return "online";
    case PresenceState::Unavailable: return "unavailable";
    case PresenceState::Offline: break;
  }
  return "offline";
}

Presence::Presence(Loop& loop, Rooms& rooms, Users& users, journal::Journal& journal, Switch on)
    : loop_(loop), rooms_(rooms), users_(users), journal_(journal), on_(on == Switch::On) {}

Result<> Presence::start(store::Database& db) {
  if (!on_) return {};
  try {
    auto c = db.connect(store::Access::ReadOnly);
    // Nobody is there until they say so; what they said of themselves stays.
    repo::each_presence(*c, [&](repo::StoredPresence p) {
      auto& known = known_[std::move(p.user)];
      known.status = std::move(p.status);
      known.active_ms = p.active_ms;
    });
  } catch (const store::SqlError& e) {
    return fail(haechi::Errc::Io, e.what());
  }
  rooms_.observe(*this);
  journal_.on_broadcast(std::string(kTopic), [this](std::string_view message) { hear(message); });
  journal_.subscribe([this](std::span<const journal::Entry> entries) {
    for (const auto& e : entries) {
      if (e.kind == kind::kPresence && !e.own) hear_one(must_parse_object(e.data), Why::SetByHand);
    }
  });
  loop_.timers().arm(sweep_timer_, loop_.now() + kSweepEvery, [this] { sweep(); });
  return {};
}

Task<Result<>> Presence::set(std::string user, PresenceState state, std::optional<std::string> status) {
  if (!on_) co_return Result<>{};
  if (status && status->size() > kStatusBytesMax) co_return fail(Errc::InvalidParam, "The status message is too long");
  // In memory, so that those who share a room can be found.
  CO_TRY(const auto holder, co_await users_.get(user));
  const WallMs now_ms = loop_.clock().wall_ms();
  std::string data;  // what users say themselves is not lost on the way to the other nodes
  if (journal_.shared()) {
    auto said = said_of(user, state, now_ms);
    said["rooms"] = rooms_of(user);
    if (status) said["status"] = *status;
    data = to_text(said);
  }
  CO_TRY_DO(co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    repo::put_presence(tx.sql(), {user, std::string(to_string(state)), status, now_ms});
    if (!data.empty()) tx.append(kind::kPresence, user, data);
    return {};
  }));
  auto& known = known_[user];
  known.here = known.state = state;
  known.elsewhere.clear();
  known.status = std::move(status);
  known.active_ms = now_ms;
  known.seen = loop_.now();
  // No device stands behind it: the next sync that says less is believed.
  known.online = Instant{};
  if (!known.pending) pending_.push_back(user);
  known.pending = true;
  tell();
  holder->ephemeral_stamp = known.stamp;
  holder->wake();
  co_return Result<>{};
}

json::object Presence::content_of(const Known& known) const {
  json::object content{{"presence", to_string(known.state)}};
  const WallMs ago = std::max<WallMs>(0, loop_.clock().wall_ms() - known.active_ms);
  if (known.active_ms > 0) content["last_active_ago"] = ago;
  if (known.status) content["status_msg"] = *known.status;
  if (known.state != PresenceState::Offline)
    content["currently_active"] = known.state == PresenceState::Online && ago < kActiveMs;
  return content;
}

std::string Presence::event_of(std::string_view user, const Known& known) const {
  return to_text(json::object{{"type", "m.presence"}, {"sender", user}, {"content", content_of(known)}});
}

json::object Presence::of(std::string_view user) const {
  const auto it = known_.find(user);
  return content_of(it == known_.end() ? Known{} : it->second);
}

bool Presence::share_a_room(const UserState& user, std::string_view other) const {
  return user.id == other || std::ranges::any_of(user.rooms, [&](const auto& r) {
           const auto& ref = r.second;
           return ref.membership == Membership::Join && ref.room && ref.room->membership(other) == Membership::Join;
         });
}

std::vector<std::string> Presence::changed(const UserState& user, std::int64_t stamp) {
  std::vector<std::string> out;
  if (!on_) return out;
  const bool first = stamp == 0;
  std::set<std::string_view> shown;
  const auto show = [&](const std::string& id, const Known& known) {
    if (user.ignored.contains(id) || !shown.insert(id).second) return;
    out.push_back(event_of(id, known));
  };
  each_changed(user, stamp, [&](std::string_view id) {
    const auto it = known_.find(id);
    if (it == known_.end() || it->second.stamp <= stamp) return;
    if (first && it->second.state == PresenceState::Offline) return;
    show(it->first, it->second);
  });
  if (const auto it = arrivals_.find(user.id); it != arrivals_.end() && !first) {
    for (const auto& arrival : it->second) {
      const auto room = arrival.stamp > stamp ? rooms_.find(arrival.room_num) : nullptr;
      if (!room) continue;
      const auto meet = [&](std::string_view other) {
        const auto known = known_.find(other);
        if (known != known_.end() && known->second.state != PresenceState::Offline) show(known->first, known->second);
      };
      for (const auto* other : room->online) meet(other->id);
      if (!journal_.shared() || !carries_presence(*room)) continue;
      for (const auto& [member, event] : room->members()) {
        if (event->membership() == "join") meet(member);
      }
    }
  }
  return out;
}

/// Calls `look` for whoever may have changed after `stamp` and shares a room with `user`, perhaps twice.
template <class F>
void Presence::each_changed(const UserState& user, std::int64_t stamp, F look) const {
  const auto begin = by_stamp_.upper_bound(stamp);
  if (begin == by_stamp_.end()) return;
  look(user.id);
  std::vector<const Room*> rooms;
  for (const auto& [num, ref] : user.rooms) {
    if (ref.membership == Membership::Join && ref.room && carries_presence(*ref.room)) rooms.push_back(ref.room.get());
  }
  for (const auto* room : rooms) {
    for (const auto* other : room->online) look(other->id);
  }
  if (!journal_.shared()) return;
  // Those who are in touch with other nodes only are not in memory here.
  std::ptrdiff_t changes = 0;
  for (auto it = begin; it != by_stamp_.end() && changes <= kChangesLookedAt; ++it) ++changes;
  if (changes > kChangesLookedAt) {
    for (const auto* room : rooms) {
      for (const auto& [member, event] : room->members()) {
        if (event->membership() == "join") look(member);
      }
    }
    return;
  }
  for (auto it = begin; it != by_stamp_.end(); ++it) {
    const auto there = [&](const Room* room) { return room->membership(it->second) == Membership::Join; };
    if (std::ranges::any_of(rooms, there)) look(it->second);
  }
}

void Presence::seen(const std::string& user, std::string_view set_presence, std::string_view device) {
  if (!on_ || set_presence == "offline") return;
  auto it = known_.find(user);
  if (it == known_.end()) it = known_.emplace(user, Known{}).first;
  auto& known = it->second;
  const auto now = loop_.now();
  known.seen = now;
  const auto wanted = set_presence == "unavailable" ? PresenceState::Unavailable : PresenceState::Online;
  if (wanted == PresenceState::Online) {
    known.online = now;
    known.online_by = device;
    if (known.here != wanted) known.active_ms = loop_.clock().wall_ms();
  } else if (known.here == PresenceState::Online && now - known.online < kOfflineAfter &&
             (device.empty() || known.online_by != device)) {
    return;  // another device is there
  }
  if (known.here == wanted) return;
  known.here = wanted;
  say(it->first);
  weigh(it->first, known);
}

void Presence::weigh(const std::string& user, Known& known) {
  auto most = known.here;
  for (const auto& e : known.elsewhere) most = std::max(most, e.state);
  if (known.state == most) return;
  known.state = most;
  note_change(user, known);
}

void Presence::note_change(const std::string& user, Known& known) {
  if (!known.pending) pending_.push_back(user);
  known.pending = true;
  if (tell_timer_.armed()) return;
  const auto due = std::max(loop_.now(), told_ + kTellEvery);
  loop_.timers().arm(tell_timer_, due, [this] { tell(); });
}

void Presence::stamp(const std::string& user, Known& known) {
  if (known.stamp != 0) by_stamp_.erase(known.stamp);
  known.stamp = users_.next_stamp();
  by_stamp_.emplace(known.stamp, user);
}

void Presence::tell() {
  if (tell_timer_.armed()) loop_.timers().disarm(tell_timer_);
  told_ = loop_.now();
  // Each room once, however many of its members changed.
  std::unordered_map<std::int64_t, std::pair<Room*, std::string_view>> where;
  for (const auto& id : pending_) {
    auto& known = known_[id];
    known.pending = false;
    stamp(id, known);
    const auto in = [&](std::int64_t num, Room* room) {
      // The only one who changed need not be woken for it.
      const auto [at, fresh] = where.try_emplace(num, room, id);
      if (!fresh && at->second.second != id) at->second.second = {};
    };
    if (const auto* user = users_.find(id)) {
      for (const auto& [num, ref] : user->rooms) {
        if (ref.membership == Membership::Join && ref.room && carries_presence(*ref.room)) in(num, ref.room.get());
      }
    }
    for (auto& e : known.elsewhere) {
      for (const auto num : e.rooms) {
        if (const auto room = rooms_.find(num); room && carries_presence(*room)) in(num, room.get());
      }
    }
    std::erase_if(known.elsewhere, [](const Elsewhere& e) { return e.state == PresenceState::Offline; });
  }
  for (const auto& [num, change] : where) {
    for (auto* other : change.first->online) {
      if (other->id == change.second) continue;
      other->ephemeral_stamp = users_.last_stamp();
      other->wake();
    }
  }
  pending_.clear();
  say_now(true);
}

// -- the other nodes --

void Presence::say(const std::string& user) {
  if (!journal_.shared()) return;
  unsaid_.insert(user);
  if (!tell_timer_.armed())
    loop_.timers().arm(tell_timer_, std::max(loop_.now(), told_ + kTellEvery), [this] { tell(); });
}

json::object Presence::said_of(std::string_view user, PresenceState here, WallMs active_ms) const {
  return {{"node", journal_.node_id()},
          {"user", user},
          {"is", to_string(here)},
          {"ago", std::max<WallMs>(0, loop_.clock().wall_ms() - active_ms)}};
}

json::array Presence::rooms_of(std::string_view id) const {
  json::array rooms;
  const auto* user = users_.find(id);
  if (!user) return rooms;
  for (const auto& [num, ref] : user->rooms) {
    if (rooms.size() == kRoomsSaidMax) break;
    if (ref.membership == Membership::Join && ref.room && carries_presence(*ref.room)) rooms.emplace_back(num);
  }
  return rooms;
}

void Presence::say_now(bool with_rooms) {
  if (unsaid_.empty()) return;
  Said said(journal_, kTopic);
  for (const auto& id : unsaid_) {
    const auto& known = known_[id];
    auto item = said_of(id, known.here, known.active_ms);
    if (with_rooms) item["rooms"] = rooms_of(id);
    said.add(to_text(item));
  }
  said.send();
  unsaid_.clear();
}

void Presence::hear(std::string_view message) {
  for (const auto& item : heard_items(message)) {
    if (const auto* said = item.if_object()) hear_one(*said, Why::Seen);
  }
}

void Presence::hear_one(const json::object& said, Why why) {
  const auto node = get_string(said, "node");
  const auto id = get_string(said, "user");
  const auto state = parse_presence(get_string(said, "is").value_or(""));
  if (!node || !id || !state) return;
  const auto at = known_.try_emplace(std::string(*id)).first;
  auto& known = at->second;
  known.active_ms = std::max(known.active_ms, loop_.clock().wall_ms() - get_int(said, "ago").value_or(0));
  if (why == Why::SetByHand) {
    const auto status = get_string(said, "status");
    known.status = status ? std::optional(std::string(*status)) : std::nullopt;
    known.here = PresenceState::Offline;  // the next sync here that says more is believed
    known.elsewhere.clear();
  }
  auto e = std::ranges::find(known.elsewhere, *node, &Elsewhere::node);
  if (e == known.elsewhere.end()) {
    if (*state == PresenceState::Offline && why == Why::Seen) return;
    e = known.elsewhere.insert(known.elsewhere.end(), {.node = std::string(*node), .rooms = {}});
  }
  e->state = *state;
  e->heard = loop_.now();
  if (const auto* rooms = get_array(said, "rooms")) {
    e->rooms.clear();
    for (const auto& num : *rooms) {
      if (num.is_int64()) e->rooms.push_back(num.get_int64());
    }
  }
  weigh(at->first, known);
  if (why == Why::SetByHand) {
    // At once, as on the node where it was set.
    if (!known.pending) pending_.push_back(at->first);
    known.pending = true;
    tell();
    if (auto* user = users_.find(at->first)) {
      user->ephemeral_stamp = known.stamp;
      user->wake();
    }
  }
}

void Presence::sweep() {
  const auto now = loop_.now();
  const bool remind = journal_.shared() && ++sweeps_ % kSweepsPerReminder == 0;
  for (auto& [id, known] : known_) {
    bool silent = false;
    for (auto& e : known.elsewhere) {
      if (e.state == PresenceState::Offline || now - e.heard < kBelieved) continue;
      e.state = PresenceState::Offline;
      silent = true;
    }
    if (silent) weigh(id, known);
    if (known.here == PresenceState::Offline) continue;
    if (const auto* user = users_.find(id); user && user->parked() > 0) {
      known.seen = now;  // a long poll is a sign of life as long as it lasts
      if (known.here == PresenceState::Online) known.online = now;
    } else if (now - known.seen >= kOfflineAfter) {
      known.here = PresenceState::Offline;
      say(id);
      weigh(id, known);
    }
    if (remind) say(id);
  }
  // Changes wait for their telling, which names the rooms.
  if (remind && pending_.empty()) say_now(false);
  const auto oldest = loop_.clock().wall_ms() * 1000 - kArrivalUs;
  for (auto it = arrivals_.begin(); it != arrivals_.end();) {
    std::erase_if(it->second, [&](const Arrival& a) { return a.stamp < oldest; });
    it = it->second.empty() ? arrivals_.erase(it) : std::next(it);
  }
  loop_.timers().arm(sweep_timer_, now + kSweepEvery, [this] { sweep(); });
}

void Presence::joined(Room& room, const std::string& user) {
  // The room's members learn of the new one, and the new one of them.
  if (auto* newcomer = users_.find(user)) {
    auto& list = arrivals_[user];
    if (list.size() >= kArrivalsMax) list.erase(list.begin());
    list.push_back({users_.next_stamp(), room.num});
    newcomer->ephemeral_stamp = list.back().stamp;
  }
  const auto it = known_.find(user);
  if (it == known_.end() || it->second.state == PresenceState::Offline) return;
  stamp(it->first, it->second);
  for (auto* other : room.online) other->ephemeral_stamp = it->second.stamp;
}

void Presence::on_event(Room& room, const EventPtr& event) {
  if (const auto it = known_.find(event->sender); it != known_.end()) it->second.active_ms = loop_.clock().wall_ms();
  if (event->type != "m.room.member" || !event->state_key || event->membership() != "join") return;
  if (event->prev_content.find("\"membership\":\"join\"") != std::string::npos) return;  // a new name only
  if (carries_presence(room)) joined(room, *event->state_key);
}

}  // namespace haechi::messenger
