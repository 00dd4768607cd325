#include "messenger/user/users.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "messenger/kinds.hpp"
#include "messenger/user/repo.hpp"

namespace haechi::messenger {
namespace {

constexpr auto kSweepEvery = std::chrono::minutes(1);
constexpr auto kIdleAfter = std::chrono::minutes(10);
constexpr int kLoadTriesMax = 10;

TextSet ignored_of(std::string_view content) {
  TextSet out;
  if (content.empty()) return out;
  auto parsed = parse_json_object(content);
  if (!parsed) return out;
  if (const auto* users = get_object(*parsed, "ignored_users")) {
    for (const auto& [user, _] : *users) out.emplace(user);
  }
  return out;
}

push::Ruleset rules_of(std::string_view stored) {
  if (stored.empty()) return {};
  auto parsed = parse_json_object(stored);
  return parsed ? push::Ruleset::from_stored(*parsed) : push::Ruleset{};
}

}  // namespace

Users::Users(Loop& loop, store::Readers& readers, Rooms& rooms) : loop_(loop), readers_(readers), rooms_(rooms) {}

Users::~Users() {
  for (auto& [id, user] : users_) {
    for (auto& [num, ref] : user->rooms) {
      if (auto room = rooms_.find(num)) room->remove_online(*user);
    }
  }
}

void Users::start(journal::Journal& journal) {
  journal_ = &journal;
  journal.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
  rooms_.observe(*this);
  loop_.timers().arm(sweep_timer_, loop_.now() + kSweepEvery, [this] { sweep(); });
}

UserState* Users::find(std::string_view user_id) const {
  const auto it = users_.find(user_id);
  return it == users_.end() ? nullptr : it->second.get();
}

/// While it lives, what comes for a user who is not in memory yet is counted.
class Users::Reading {
 public:
  Reading(Users& users, const std::string& id) : users_(users), id_(id) { ++users_.reading_[id_].readers; }
  ~Reading() {
    if (const auto it = users_.reading_.find(id_); --it->second.readers == 0) users_.reading_.erase(it);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  std::uint64_t moves() const { return users_.reading_.find(id_)->second.moves; }

 private:
  Users& users_;
  const std::string& id_;
};

void Users::moved_while_read(std::string_view user_id) {
  if (const auto it = reading_.find(user_id); it != reading_.end()) ++it->second.moves;
}

Task<Result<UserPtr>> Users::get(std::string user_id) {
  if (const auto it = users_.find(user_id); it != users_.end()) {
    it->second->last_used = loop_.now();
    co_return it->second;
  }
  // What comes for them while SQL is read would be in neither: then it is read again.
  const Reading reading(*this, user_id);
  Result<repo::LoadedUser> loaded;
  std::vector<RoomPtr> held;
  for (int tries = 0; tries < kLoadTriesMax; ++tries) {
    const auto moves = reading.moves();
    const Position known = journal_->position();
    loaded = co_await readers_.read(
        [&](store::Connection& c) -> Result<repo::LoadedUser> { return repo::load_user(c, user_id); });
    if (!loaded) co_return std::unexpected(std::move(loaded.error()));
    if (loaded->head < known) {
      // From a server that has been left behind.
      if (tries + 1 == kLoadTriesMax) co_return fail(haechi::Errc::Unavailable, "The account cannot be read just now");
      continue;
    }
    // Rooms first: once the user is in memory they must be in every joined room's `online`.
    std::vector<std::int64_t> joined;
    for (const auto& [num, ref] : loaded->rooms) {
      if (ref.membership == Membership::Join) joined.push_back(num);
    }
    CO_TRY(held, co_await rooms_.get_all(std::move(joined)));
    if (const auto it = users_.find(user_id); it != users_.end()) co_return it->second;  // another request was quicker
    if (reading.moves() == moves) break;
  }
  auto user = std::make_shared<UserState>(loop_, user_id);
  user->last_used = loop_.now();
  for (auto& [num, ref] : loaded->rooms) user->rooms.emplace(num, std::move(ref));
  user->rules = rules_of(loaded->push_rules);
  user->ignored = ignored_of(loaded->ignored);
  user->account_data_pos = loaded->account_data_pos;
  for (auto& [device, pos] : loaded->to_device) user->to_device_pos.emplace(device, pos);
  user->device_list_pos = INT64_MAX;  // not known yet: the first sync asks SQL
  user->touched_from = journal_->position();
  user->last_pos = user->touched_from;
  users_.emplace(user_id, user);
  // Memberships may have moved while SQL was read: the rooms in memory know better.
  for (const auto& room : held) {
    if (const auto* member = room->state("m.room.member", user_id)) {
      auto& ref = user->rooms[room->num];
      ref.room_id = room->id;
      ref.membership = membership_of(member->membership());
      ref.pos = member->pos;
      if (ref.membership == Membership::Join) {
        ref.room = room;
        room->add_online(*user);
      }
    }
  }
  co_return user;
}

void Users::touch(std::string_view user_id, Position pos) {
  if (auto* u = find(user_id)) {
    u->last_pos = std::max(u->last_pos, pos);
    u->wake();
  }
}

std::vector<UserState*> Users::sharing(std::string_view user_id) const {
  std::vector<UserState*> out;
  auto* u = find(user_id);
  if (!u) return out;
  out.push_back(u);
  for (const auto& [num, ref] : u->rooms) {
    if (ref.membership != Membership::Join) continue;
    if (auto room = rooms_.find(num)) out.insert(out.end(), room->online.begin(), room->online.end());
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::int64_t Users::next_stamp() {
  last_stamp_ = std::max(last_stamp_ + 1, loop_.clock().wall_ms() * 1000);
  return last_stamp_;
}

void Users::on_member(Room& room, const Event& event) {
  moved_while_read(*event.state_key);
  auto* u = find(*event.state_key);
  if (!u) return;
  auto& ref = u->rooms[room.num];
  ref.room_id = room.id;
  ref.membership = membership_of(event.membership());
  ref.pos = event.pos;
  ref.forgotten = false;
  if (ref.membership == Membership::Join) {
    ref.room = rooms_.find(room.num);
    room.add_online(*u);
  } else {
    ref.room = nullptr;
    room.remove_online(*u);
  }
  u->note(event.pos, room.num);
  u->wake();
}

void Users::on_event(Room& room, const EventPtr& event) {
  if (event->type == "m.room.member" && event->state_key) on_member(room, *event);
  for (auto* u : room.online) {
    u->note(event->pos, room.num);
    u->wake();
  }
}

void Users::on_loaded(Room& room) {
  for (const auto& [member, event] : room.members()) {
    if (event->membership() != "join") continue;
    auto* u = find(member);
    if (!u) continue;
    // Only where the user knows of it too: that is how they are taken off again when they leave memory.
    const auto ref = u->rooms.find(room.num);
    if (ref == u->rooms.end() || ref->second.membership != Membership::Join) continue;
    ref->second.room = rooms_.find(room.num);
    room.add_online(*u);
  }
}

void Users::on_unseen(const Unseen& unseen) {
  const auto* member = unseen.member.get();
  const std::string_view who = member ? std::string_view(*member->state_key) : std::string_view{};
  if (member) {
    moved_while_read(who);
    if (auto* u = find(who)) {
      auto& ref = u->rooms[unseen.room_num];
      ref.room_id = unseen.room_id;
      ref.membership = membership_of(member->membership());
      ref.pos = member->pos;
      ref.forgotten = false;
      ref.room = nullptr;
      u->note(member->pos, unseen.room_num);
      u->wake();
      if (ref.membership == Membership::Join) {
        const auto [at, first] = awaited_.try_emplace(unseen.room_num);
        at->second.emplace(who);
        if (first) scope_.spawn(fetch(unseen.room_num));
      }
    }
  }
  const auto at = awaited_.find(unseen.room_num);
  if (at == awaited_.end()) return;
  for (const auto& other : at->second) {
    auto* u = other == who ? nullptr : find(other);
    if (!u) continue;
    u->note(unseen.pos, unseen.room_num);
    u->wake();
  }
}

Task<void> Users::fetch(std::int64_t room_num) {
  std::vector<std::int64_t> nums{room_num};
  const auto rooms = co_await rooms_.get_all(std::move(nums));
  awaited_.erase(room_num);
  if (!rooms) log::warn("a room that a user joined cannot be read", {{"error", rooms.error().message}});
}

void Users::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    if (e.kind == kind::kEvent || e.kind < 300 || e.kind > 499) continue;
    moved_while_read(e.subject);
    auto* u = find(e.subject);
    switch (e.kind) {
      case kind::kAccountData:
      case kind::kPushRules: {
        if (!u) break;
        u->account_data_pos = e.pos;
        const auto data = must_parse_object(e.data);
        if (e.kind == kind::kPushRules) {
          if (const auto* rules = get_object(data, "rules")) u->rules = push::Ruleset::from_stored(*rules);
        } else if (get_string(data, "type") == "m.ignored_user_list" && get_string(data, "room") == "") {
          const auto* content = get_object(data, "content");
          u->ignored = ignored_of(content ? to_text(*content) : std::string());
        }
        break;
      }
      case kind::kToDevice:
        if (u) u->to_device_pos[std::string(get_string(must_parse_object(e.data), "device").value_or(""))] = e.pos;
        break;
      case kind::kDeviceKeys:
        for (auto* other : sharing(e.subject)) {
          other->device_list_pos = std::max(other->device_list_pos, e.pos);
          other->last_pos = e.pos;
          other->wake();
        }
        break;
      case kind::kOneTimeKeys:
        if (!u) break;
        u->one_time_key_counts.clear();
        u->unused_fallback.clear();
        u->one_time_key_pos[std::string(get_string(must_parse_object(e.data), "device").value_or(""))] = e.pos;
        break;
      case kind::kForget:
        if (u) {
          const auto data = must_parse_object(e.data);
          for (auto& [num, ref] : u->rooms) {
            if (ref.room_id == get_string(data, "room")) ref.forgotten = true;
          }
        }
        break;
      default: break;
    }
    if (u) {
      u->last_pos = e.pos;
      u->wake();
    }
    if (e.kind == kind::kReceipt) {
      if (auto room = rooms_.find(e.subject)) {
        for (auto* other : room->online) {
          other->note(e.pos, room->num);
          other->wake();
        }
      }
    }
  }
}

void Users::sweep() {
  const auto now = loop_.now();
  for (auto it = users_.begin(); it != users_.end();) {
    auto& u = it->second;
    if (u->parked() > 0 || u.use_count() > 1 || now - u->last_used < kIdleAfter) {
      ++it;
      continue;
    }
    for (const auto& [num, ref] : u->rooms) {
      if (auto room = rooms_.find(num)) room->remove_online(*u);
    }
    it = users_.erase(it);
  }
  loop_.timers().arm(sweep_timer_, now + kSweepEvery, [this] { sweep(); });
}

std::size_t Users::parked() const {
  std::size_t n = 0;
  for (const auto& [id, u] : users_) n += u->parked();
  return n;
}

}  // namespace haechi::messenger
