#include "messenger/sync/sync.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/sync/pass.hpp"
#include "messenger/sync/stripped.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kToDeviceMax = 100;
constexpr auto kFreshPatience = std::chrono::milliseconds(300);
constexpr auto kAheadPatience = std::chrono::seconds(2);
constexpr std::int64_t kMovedUs = std::int64_t{30} * 1'000'000;

/// Never 0.
std::uint32_t name_of_node(std::string_view node_id) {
  std::uint32_t name = 2'166'136'261u;
  for (const char c : node_id) name = (name ^ static_cast<unsigned char>(c)) * 16'777'619u;
  return std::max(name, 1u);
}

void append_list(std::string& out, std::string_view key, const std::vector<std::string>& items) {
  comma(out);
  append_json_string(out, key);
  out += ":{\"events\":[";
  for (const auto& item : items) {
    comma(out);
    out += item;
  }
  out += "]}";
}

}  // namespace

Sync::Sync(Loop& loop, Rooms& rooms, Users& users, Visibility& visibility, journal::Journal& journal,
           SyncSources sources)
    : loop_(loop),
      rooms_(rooms),
      users_(users),
      visibility_(visibility),
      journal_(journal),
      sources_(sources),
      node_(journal.shared() ? name_of_node(journal.node_id()) : 0) {}

Task<bool> Sync::caught_up(const SyncRequest& request, Instant deadline, Canceller* canceller) {
  const Position wanted = request.since ? request.since->pos : 0;
  bool all = co_await journal_.fresh(wanted > journal_.position() ? kAheadPatience : kFreshPatience);
  // What this node has not got although it has followed everybody is no token of ours: it counts as the newest.
  while (!all && journal_.position() < wanted) {
    if (loop_.now() >= deadline || (canceller && canceller->cancelled())) co_return false;
    all = co_await journal_.fresh(std::min<Duration>(kAheadPatience, deadline - loop_.now()));
  }
  co_return true;
}

Sync::Pass Sync::begin(const SyncRequest& request, UserPtr user) {
  const auto& session = *request.session;
  Pass pass{
      .request = request, .user = std::move(user), .device = device_key(session), .since = {}, .now = {}, .out = {}};
  sources_.presence.seen(session.user_id, request.set_presence, session.device_id);
  if (!request.since) {
    lazy_.reset(pass.device);
    return pass;
  }
  pass.initial = false;
  pass.since = *request.since;
  pass.since.pos = std::min(pass.since.pos, journal_.position());
  if (pass.since.node != node_) {
    // Another node's clock, and what it told last may have come here a little later: rather twice than never.
    pass.since.stamp = std::max<std::int64_t>(1, std::min(pass.since.stamp, loop_.clock().wall_ms() * 1000) - kMovedUs);
    pass.user->ephemeral_stamp = std::max(pass.user->ephemeral_stamp, users_.last_stamp());
  }
  pass.since.to_device = std::min(pass.since.to_device, pass.since.pos);
  sources_.to_device.delivered(pass.user, session.device_id, pass.since.to_device);
  return pass;
}

// A hundred thousand of these wait at once: what is needed only to answer lives
// in the frames of begin(), attempt() and nothing_new(), not in this one.
Task<Result<std::string>> Sync::sync(SyncRequest request, Canceller* canceller) {
  const Instant deadline = loop_.now() + request.timeout;
  const bool caught = !journal_.shared() || co_await caught_up(request, deadline, canceller);
  CO_TRY(auto user, co_await users_.get(request.session->user_id));
  Pass pass = begin(request, std::move(user));
  if (!caught) {
    pass.now = *request.since;
    co_return co_await nothing_new(pass);
  }
  UserState::Parked parked(*pass.user);
  while (true) {
    parked.waiter.reset();
    CO_TRY(const bool done, co_await attempt(pass));
    if (done) co_return std::move(pass.out);
    if (loop_.now() >= deadline || (canceller && canceller->cancelled())) break;
    // A wait that ends for nothing that this filter shows goes on.
    const auto why = co_await parked.waiter.wait(deadline, canceller);
    if (why == Wake::Cancelled) break;
    if (why == Wake::Deadline && pass.user->last_pos <= pass.now.pos) break;
  }
  co_return co_await nothing_new(pass);
}

Task<Result<bool>> Sync::attempt(Pass& pass) {
  const auto& user = *pass.user;
  pass.user->last_used = loop_.now();
  pass.now = {.pos = journal_.position(),
              .stamp = std::max(users_.last_stamp(), pass.since.stamp),
              .to_device = 0,
              .node = node_};
  pass.now.to_device = pass.now.pos;
  pass.wall_ms = loop_.clock().wall_ms();
  const bool moved = user.last_pos > pass.since.pos || user.ephemeral_stamp > pass.since.stamp ||
                     pass.since.to_device < pass.since.pos || user.device_list_pos > pass.since.pos;
  if (!pass.full() && !moved) co_return false;
  CO_TRY(const bool any, co_await build(pass));
  if (any || pass.full()) co_return true;
  pass.out = std::string();  // nothing is kept through a wait
  co_return false;
}

Task<Result<std::string>> Sync::nothing_new(Pass& pass) {
  CO_TRY(const auto counts, co_await sources_.key_counts.key_counts(pass.user, pass.request.session->device_id));
  co_return "{\"next_batch\":\"" + pass.now.text() + "\",\"device_one_time_keys_count\":" + counts.one_time +
      ",\"device_unused_fallback_key_types\":" + counts.unused_fallback + '}';
}

Task<Result<bool>> Sync::build(Pass& pass) {
  const auto& filter = pass.filter();
  const auto& device_id = pass.request.session->device_id;
  auto& out = pass.out;
  out.clear();
  out += '{';
  pass.anything = false;

  CO_TRY(auto mail,
         co_await sources_.to_device.read(pass.user, device_id, pass.since.to_device, pass.now.pos, kToDeviceMax));
  pass.now.to_device = mail.upto;
  if (!mail.events.empty()) {
    append_list(out, "to_device", mail.events);
    pass.anything = true;
  }

  if (!pass.initial) {
    CO_TRY(auto lists, co_await sources_.device_lists.between(pass.user, pass.since.pos, pass.now.pos));
    if (!lists.empty()) {
      comma(out);
      out += "\"device_lists\":{";
      append_strings(out, "changed", lists.changed);
      append_strings(out, "left", lists.left);
      out += '}';
      pass.anything = true;
    }
  }
  CO_TRY(const auto counts, co_await sources_.key_counts.key_counts(pass.user, device_id));
  // A device that runs out of keys must hear of it at once.
  const auto& keys_moved = pass.user->one_time_key_pos;
  if (const auto it = keys_moved.find(device_id); it != keys_moved.end() && it->second > pass.since.pos)
    pass.anything = true;
  comma(out);
  out += "\"device_one_time_keys_count\":" + counts.one_time +
         ",\"device_unused_fallback_key_types\":" + counts.unused_fallback;

  const Position account_since = pass.full() ? 0 : pass.since.pos;
  CO_TRY(const auto data, co_await sources_.account_data.changed(pass.user, account_since, pass.now.pos));
  RoomData room_data;
  std::string global;
  for (const auto& d : data) {
    if (!d.room_id.empty()) {
      if (filter.room_account_data.EventFilter::matches(d.type, {}) &&
          filter.room_account_data.matches_room(d.room_id)) {
        room_data[d.room_id].push_back(&d);
      }
    } else if (filter.account_data.matches(d.type, {})) {
      append_datum(global, d);
    }
  }
  if (!global.empty()) {
    comma(out);
    out += "\"account_data\":{\"events\":[" + global + "]}";
    pass.anything = true;
  }

  if (pass.initial || pass.user->ephemeral_stamp > pass.since.stamp) {
    std::vector<std::string> shown;
    if (!filter.presence.types || filter.presence.matches("m.presence", {})) {
      shown = sources_.presence.changed(*pass.user, pass.since.stamp);
      if (!filter.presence.all()) {
        std::erase_if(shown, [&](const std::string& text) {
          auto o = parse_json_object(text);
          return !o || !filter.presence.matches("m.presence", get_string(*o, "sender").value_or(""));
        });
      }
    }
    if (!shown.empty()) {
      append_list(out, "presence", shown);
      pass.anything = true;
    }
  }

  pass.room_data = &room_data;
  const auto rooms = co_await rooms_section(pass);
  pass.room_data = nullptr;
  if (!rooms) co_return std::unexpected(rooms.error());
  comma(out);
  out += "\"next_batch\":\"" + pass.now.text() + "\"}";
  co_return pass.anything;
}

Task<Result<bool>> Sync::rooms_section(Pass& pass) {
  const auto& filter = pass.filter();
  auto& user = *pass.user;

  // Which rooms can have anything to say.
  std::vector<std::int64_t> nums;
  const bool all = pass.full() || pass.since.pos < user.touched_from;
  if (all) {
    nums.reserve(user.rooms.size());
    for (const auto& [num, ref] : user.rooms) nums.push_back(num);
  } else {
    for (auto it = user.touched.rbegin(); it != user.touched.rend() && it->pos > pass.since.pos; ++it) {
      nums.push_back(it->room_num);
    }
    for (const auto& [room_id, list] : *pass.room_data) {
      if (auto room = rooms_.find(room_id)) nums.push_back(room->num);
    }
    if (user.ephemeral_stamp > pass.since.stamp) {
      for (const auto& [num, ref] : user.rooms) {
        if (ref.room && ref.room->typing.stamp > pass.since.stamp) nums.push_back(num);
      }
    }
    std::ranges::sort(nums);
    nums.erase(std::unique(nums.begin(), nums.end()), nums.end());
  }

  std::vector<std::int64_t> cold;
  const auto matters = [&](const RoomRef& ref) {
    if (!filter.wants_room(ref.room_id)) return false;
    if (ref.membership == Membership::Join) return true;
    // Also where the room was forgotten at once: the user's other devices must learn that it was left.
    if (ref.pos > pass.since.pos && !pass.initial) return true;
    if (ref.forgotten) return false;
    if (pass.initial && (ref.membership == Membership::Invite || ref.membership == Membership::Knock)) return true;
    return pass.initial && filter.include_leave;
  };
  std::erase_if(nums, [&](std::int64_t num) {
    const auto it = user.rooms.find(num);
    return it == user.rooms.end() || !matters(it->second);
  });
  for (const auto num : nums) {
    // Joined rooms are held by the user; the others must not go while this waits.
    if (!user.rooms.find(num)->second.room) cold.push_back(num);
  }
  std::vector<RoomPtr> held;  // keeps what is loaded from being evicted meanwhile
  if (!cold.empty()) {
    CO_TRY(held, co_await rooms_.get_all(std::move(cold)));
  }

  std::string join, invite, leave, knock;
  for (const auto num : nums) {
    const auto room = rooms_.find(num);
    const auto it = user.rooms.find(num);
    if (!room || it == user.rooms.end()) continue;
    const auto membership = it->second.membership;
    const Position pos = it->second.pos;
    if (membership == Membership::Join) {
      CO_TRY_DO(co_await joined(pass, room, join));
    } else if (membership == Membership::Invite || membership == Membership::Knock) {
      const Event* own = room->state("m.room.member", user.id);
      if (membership == Membership::Invite && own && user.ignored.contains(own->sender)) continue;
      invited(pass, *room, membership == Membership::Invite ? invite : knock);
      pass.anything = true;
    } else if (membership == Membership::Leave || membership == Membership::Ban) {
      CO_TRY_DO(co_await left(pass, room, pos, leave));
    }
  }
  if (join.empty() && invite.empty() && leave.empty() && knock.empty()) co_return false;
  comma(pass.out);
  pass.out += "\"rooms\":{";
  const auto section = [&](std::string_view name, const std::string& text) {
    if (text.empty()) return;
    comma(pass.out);
    append_json_string(pass.out, name);
    pass.out += ":{" + text + '}';
  };
  section("join", join);
  section("invite", invite);
  section("leave", leave);
  section("knock", knock);
  pass.out += '}';
  co_return true;
}

void Sync::invited(Pass& pass, const Room& room, std::string& out) const {
  const bool knock = room.membership(pass.user->id) == Membership::Knock;
  if (!out.empty()) out += ',';
  append_json_string(out, room.id);
  out += knock ? ":{\"knock_state\":{\"events\":" : ":{\"invite_state\":{\"events\":";
  out += stripped_state(room, pass.user->id);
  out += "}}";
}

}  // namespace haechi::messenger
