// Who must be told that somebody's devices changed: the part of DeviceKeys that
// sync asks all the time. What it needs is in memory: the newest changes of all
// users, and the rooms' newest events.

#include <algorithm>

#include "base/text.hpp"
#include "messenger/keys/device_keys.hpp"
#include "messenger/keys/repo.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kRecentMax = 10'000;
constexpr Position kUnknown = INT64_MAX;

bool shares_room(const UserState& user, std::string_view other) {
  return std::ranges::any_of(user.rooms, [&](const auto& entry) {
    const RoomRef& ref = entry.second;
    return ref.room && ref.membership == Membership::Join && ref.room->membership(other) == Membership::Join;
  });
}

bool was_joined(std::string_view prev_content) {
  if (prev_content.empty()) return false;
  const auto content = parse_json_object(prev_content);
  return content && get_string(*content, "membership") == "join";
}

void add_joined(const Room& room, std::string_view except, TextSet& out) {
  for (const auto& [member, event] : room.members()) {
    if (member != except && event->membership() == "join") out.insert(member);
  }
}

/// State events after a position, oldest first; `complete` where none in between is missing.
struct StateEvents {
  std::vector<EventPtr> events;
  bool complete = false;
};

/// Of the room's memory; incomplete and empty where that does not reach back so far.
StateEvents remembered(const Room& room, Position after) {
  StateEvents out;
  if (room.timeline_from() > after + 1) return out;
  out.complete = true;
  for (auto it = room.timeline().rbegin(); it != room.timeline().rend() && (*it)->pos > after; ++it) {
    if ((*it)->state_key) out.events.push_back(*it);
  }
  std::ranges::reverse(out.events);
  return out;
}

}  // namespace

Position note_device_list(journal::Tx& tx, std::string_view user) {
  // The rooms travel along, so that a node that has not got the user in memory knows whom to wake.
  std::string data = "{\"rooms\":[";
  for (const auto num : repo::joined_rooms(tx.sql(), user)) {
    if (data.back() != '[') data += ',';
    data += std::to_string(num);
  }
  data += "]}";
  const auto pos = tx.append(kind::kDeviceKeys, user, data);
  repo::set_device_list_pos(tx.sql(), user, pos);
  return pos;
}

identity::Hooks DeviceKeys::hooks() {
  identity::Hooks hooks;
  const auto note = [](journal::Tx& tx, std::string_view user, std::string_view) { note_device_list(tx, user); };
  hooks.device_added_tx = note;
  hooks.device_renamed_tx = note;
  hooks.device_removed_tx = [](journal::Tx& tx, std::string_view user, std::string_view device) {
    repo::delete_device(tx.sql(), user, device);
    note_device_list(tx, user);
  };
  hooks.user_deactivated_tx = [](journal::Tx& tx, std::string_view user, identity::Erase) {
    for (const auto& key : repo::cross_signing_keys(tx.sql(), user)) {
      repo::delete_cross_signing_key(tx.sql(), user, key.usage);
    }
    repo::delete_all_backups(tx.sql(), user);
    note_device_list(tx, user);
  };
  return hooks;
}

void DeviceKeys::start() {
  recent_from_ = journal_.position();
  journal_.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
}

void DeviceKeys::remember(Change change) {
  recent_.push_back(std::move(change));
  if (recent_.size() <= kRecentMax) return;
  recent_from_ = recent_.front().pos;
  recent_.pop_front();
}

void DeviceKeys::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    switch (e.kind) {
      case kind::kDeviceKeys: {
        remember({.pos = e.pos, .user = e.subject, .only_for = {}});
        const auto tell = [&](UserState& user) {
          user.device_list_pos = std::max(user.device_list_pos, e.pos);
          user.last_pos = std::max(user.last_pos, e.pos);
          user.wake();
        };
        if (auto* user = users_.find(e.subject)) tell(*user);
        const auto data = must_parse_object(e.data);
        const auto* rooms = get_array(data, "rooms");
        if (!rooms) break;
        for (const auto& num : *rooms) {
          const auto room = num.is_int64() ? rooms_.find(num.get_int64()) : nullptr;
          if (!room) continue;
          for (auto* user : room->online) tell(*user);
        }
        break;
      }
      case kind::kUserSignatures: {
        auto target = std::string(get_string(must_parse_object(e.data), "target").value_or(""));
        remember({.pos = e.pos, .user = std::move(target), .only_for = e.subject});
        if (auto* user = users_.find(e.subject)) user->device_list_pos = std::max(user->device_list_pos, e.pos);
        break;
      }
      case kind::kOneTimeKeys: ++counts_changed_; break;
      default: break;
    }
  }
}

struct DeviceKeys::Moves {
  TextSet changed;
  TextSet maybe_left;  ///< no longer together in one room; perhaps in another
};

Task<Result<DeviceListDelta>> DeviceKeys::between(UserPtr user, Position after, Position upto) {
  DeviceListDelta delta;
  if (after >= upto || (user->device_list_pos <= after && user->last_pos <= after)) co_return delta;
  Moves moves;
  CO_TRY_DO(co_await moved_members(user, after, moves));
  if (user->device_list_pos > after) CO_TRY_DO(co_await changed_keys(user, after, upto, moves.changed));

  for (const auto& who : moves.maybe_left) {
    if (shares_room(*user, who)) continue;
    delta.left.push_back(who);
    moves.changed.erase(who);
  }
  delta.changed.assign(moves.changed.begin(), moves.changed.end());
  std::ranges::sort(delta.changed);
  std::ranges::sort(delta.left);
  co_return delta;
}

Task<Result<>> DeviceKeys::changed_keys(UserPtr user, Position after, Position upto, TextSet& changed) {
  Position newest = after;
  const auto consider = [&](const std::string& who, Position pos, bool told_anyway) {
    if (pos <= after || (!told_anyway && who != user->id && !shares_room(*user, who))) return;
    newest = std::max(newest, pos);
    if (pos <= upto) changed.insert(who);
  };
  if (after < recent_from_) {
    struct Rows {
      std::vector<repo::ListChange> lists, signed_by_user;
    };
    CO_TRY(const auto rows, co_await readers_.read([&](store::Connection& c) -> Result<Rows> {
      return Rows{repo::device_lists_after(c, after), repo::user_signatures_after(c, user->id, after)};
    }));
    // The table knows the newest change of each user only: one that came after
    // `upto` may hide one before, so all are told; at worst once too often.
    for (const auto& row : rows.lists) consider(row.user, std::min(row.pos, upto), false);
    for (const auto& row : rows.signed_by_user) consider(row.user, std::min(row.pos, upto), true);
  }
  // After a read too: what came meanwhile is here.
  for (auto it = recent_.rbegin(); it != recent_.rend() && it->pos > after; ++it) {
    if (it->only_for.empty()) consider(it->user, it->pos, false);
    else if (it->only_for == user->id) consider(it->user, it->pos, true);
  }
  if (user->device_list_pos == kUnknown) user->device_list_pos = newest;
  co_return Result<>{};
}

Task<Result<>> DeviceKeys::moved_members(UserPtr user, Position after, Moves& moves) {
  std::vector<std::int64_t> nums;
  const auto consider = [&](std::int64_t num, const RoomRef& ref) {
    const bool moved = ref.membership == Membership::Join ? ref.room && ref.room->last_state_pos() > after
                                                          : ref.pos > after && (ref.membership == Membership::Leave ||
                                                                                ref.membership == Membership::Ban);
    if (moved) nums.push_back(num);
  };
  if (after >= user->touched_from) {
    std::int64_t last = -1;
    for (auto it = user->touched.rbegin(); it != user->touched.rend() && it->pos > after; ++it) {
      if (it->room_num == last) continue;  // a busy room comes many times in a row
      last = it->room_num;
      if (const auto ref = user->rooms.find(last); ref != user->rooms.end()) consider(last, ref->second);
    }
    std::ranges::sort(nums);
    nums.erase(std::unique(nums.begin(), nums.end()), nums.end());
  } else {
    for (const auto& [num, ref] : user->rooms) consider(num, ref);
  }
  if (nums.empty()) co_return Result<>{};
  CO_TRY(const auto held, co_await rooms_.get_all(std::move(nums)));
  for (const auto& room : held) CO_TRY_DO(co_await room_moves(user, room, after, moves));
  co_return Result<>{};
}

/// Compares who was in the room at `after` with who is in it now. "Now" may be a
/// little later than the answer's position: then the next answer says it again.
Task<Result<>> DeviceKeys::room_moves(UserPtr user, RoomPtr room, Position after, Moves& moves) {
  auto past = remembered(*room, after);
  if (!past.complete) {
    CO_TRY(past.events, co_await rooms_.state_between(room, after, room->last_pos()));
    std::ranges::sort(past.events, {}, &Event::pos);
  }
  const auto ref = user->rooms.find(room->num);
  if (ref == user->rooms.end()) co_return Result<>{};
  const bool in_now = ref->second.membership == Membership::Join;
  bool in_then = in_now;
  if (ref->second.pos > after) {
    if (past.complete) {
      const auto own =
          std::ranges::find_if(past.events, [&](const EventPtr& e) { return e->is_state("m.room.member", user->id); });
      if (own != past.events.end()) in_then = was_joined((*own)->prev_content);
    } else {
      CO_TRY(const auto own, co_await rooms_.state_event_at(room, "m.room.member", user->id, after));
      in_then = own && own->membership() == "join";
    }
  }

  if (in_now && !in_then) {
    add_joined(*room, user->id, moves.changed);
    co_return Result<>{};
  }
  if (!in_now) {
    if (!in_then) co_return Result<>{};
    add_joined(*room, user->id, moves.maybe_left);
    for (const auto& e : past.events) {  // who was there and left too
      if (e->type == "m.room.member" && *e->state_key != user->id) moves.maybe_left.insert(*e->state_key);
    }
    co_return Result<>{};
  }

  TextSet seen;
  for (const auto& e : past.events) {
    if (e->is_state("m.room.encryption", "") && e->prev_content.empty()) add_joined(*room, user->id, moves.changed);
    if (e->type != "m.room.member" || *e->state_key == user->id || !seen.insert(*e->state_key).second) continue;
    const bool there = room->membership(*e->state_key) == Membership::Join;
    // Each member's first event tells what was before it. Where only the newest are
    // known, that is not certain, and telling too much costs one key query.
    const bool was_there = was_joined(e->prev_content);
    if (there && (!was_there || !past.complete)) moves.changed.insert(*e->state_key);
    if (!there && (was_there || !past.complete)) moves.maybe_left.insert(*e->state_key);
  }
  co_return Result<>{};
}

}  // namespace haechi::messenger
