#include "messenger/sliding/sliding.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/sliding/pass.hpp"

namespace haechi::messenger {
namespace {

std::string_view room_type(const Room& room) {
  const auto* create = room.state("m.room.create");
  return create ? get_string(create->object(), "type").value_or("") : std::string_view{};
}

bool gone(Membership m) { return m == Membership::Leave || m == Membership::Ban; }

void add_children(const Room& space, TextSet& out) {
  const auto it = space.state().find("m.space.child");
  if (it == space.state().end()) return;
  for (const auto& [child, e] : it->second) {
    const auto* via = get_array(e->object(), "via");
    if (via && !via->empty()) out.insert(child);
  }
}

}  // namespace

SlidingSync::SlidingSync(Loop& loop, Rooms& rooms, Users& users, Visibility& visibility, journal::Journal& journal,
                         SyncSources sources)
    : loop_(loop), rooms_(rooms), users_(users), visibility_(visibility), journal_(journal), sources_(sources) {}

Task<Result<std::string>> SlidingSync::sync(SlidingSyncRequest request, Canceller* canceller) {
  const auto session = request.session;
  CO_TRY(auto user, co_await users_.get(session->user_id));
  sources_.presence.seen(session->user_id, request.set_presence);
  const Instant deadline = loop_.now() + request.timeout;

  Pass pass{.request = request, .user = user, .device = device_key(*session)};
  auto connection = connections_.find(pass.device, request.body.conn_id);
  if (request.pos.empty()) {
    if (!connection) connection = connections_.make(pass.device, request.body.conn_id);
    connection->restart();
  } else {
    const auto since = sliding::parse_pos(request.pos);
    if (!since || !connection || !connection->resume(request.pos)) {
      co_return fail(Errc::UnknownPos, "This connection is not known any more; begin a new one without pos");
    }
    pass.initial = false;
    pass.since = *since;
    pass.since.pos = std::min(pass.since.pos, journal_.position());
  }
  pass.connection = connection;
  const auto ticket = ++connection->requests;
  const auto& extensions = request.body.extensions;
  if (extensions.to_device && extensions.to_device_since > 0) {
    sources_.to_device.delivered(user, session->device_id, std::min(extensions.to_device_since, journal_.position()));
  }

  UserState::Parked parked(*user);
  while (true) {
    parked.waiter.reset();
    user->last_used = loop_.now();
    pass.reset();
    pass.now = {.pos = journal_.position(), .stamp = std::max(users_.last_stamp(), pass.since.stamp), .to_device = 0};
    pass.now.to_device = pass.now.pos;
    pass.wall_ms = loop_.clock().wall_ms();
    CO_TRY(const bool any, co_await build(pass));
    // A newer request on the same connection decides what was sent.
    if (connection->requests != ticket) break;
    if (any || pass.initial) break;
    if (loop_.now() >= deadline || (canceller && canceller->cancelled())) break;
    const auto why = co_await parked.waiter.wait(deadline, canceller);
    if (connection->requests != ticket || why == Wake::Cancelled) break;
    if (why == Wake::Deadline && user->last_pos <= pass.now.pos) break;
  }
  if (connection->requests != ticket) {
    pass.reset();
    co_return answer(pass, request.pos);
  }
  connection->pending.clear();
  for (auto& [num, now] : pass.changed) connection->pending.emplace(num, std::move(now));
  connection->last = sliding::pos_text(++connection->counter, pass.now);
  connection->view.settled = true;
  co_return answer(pass, connection->last);
}

std::string SlidingSync::answer(const Pass& pass, std::string_view pos) const {
  std::string out = "{\"pos\":";
  append_json_string(out, pos);
  out += ",\"lists\":{";
  for (const auto& [name, count] : pass.connection->view.counts) {
    comma(out);
    append_json_string(out, name);
    fmt::format_to(std::back_inserter(out), ":{{\"count\":{}}}", count);
  }
  out += "},\"rooms\":{" + pass.rooms + "},\"extensions\":{" + pass.extensions + "}}";
  return out;
}

Task<Result<bool>> SlidingSync::build(Pass& pass) {
  CO_TRY_DO(co_await refresh_view(pass));
  CO_TRY_DO(co_await rooms_section(pass));
  CO_TRY_DO(co_await this->extensions(pass));
  co_return pass.anything;
}

// Which rooms the request looks at: again only when something moved or the request is another one.
Task<Result<>> SlidingSync::refresh_view(Pass& pass) {
  auto& connection = *pass.connection;
  auto& user = *pass.user;
  const auto& body = pass.request.body;

  if (!pass.initial) {
    pass.all_touched = user.touched_from > pass.since.pos;
    for (auto it = user.touched.rbegin(); it != user.touched.rend() && it->pos > pass.since.pos; ++it) {
      if (const auto ref = user.rooms.find(it->room_num); ref != user.rooms.end()) pass.touched.insert(ref->second.room_id);
    }
  }
  {
    const auto& view = connection.view;
    const bool moved = user.touched_from > view.upto || (!user.touched.empty() && user.touched.back().pos > view.upto) ||
                       user.account_data_pos > view.upto;
    if (view.upto >= 0 && view.fingerprint == body.fingerprint && !moved) co_return {};
  }
  // Memory may move on during the waits below; then the next pass looks again.
  const Position upto = journal_.position();

  if (connection.data_upto < 0 || user.account_data_pos > connection.data_upto) {
    CO_TRY(pass.all_data, co_await sources_.account_data.changed(pass.user, 0, pass.now.pos));
    connection.direct.clear();
    connection.tags.clear();
    for (const auto& d : *pass.all_data) {
      if (d.room_id.empty() && d.type == "m.direct") {
        const auto content = parse_json_object(d.content);
        if (!content) continue;
        for (const auto& [who, rooms] : *content) {
          if (!rooms.is_array()) continue;
          for (const auto& room : rooms.get_array()) {
            if (room.is_string()) connection.direct.emplace(sv(room.get_string()));
          }
        }
      } else if (!d.room_id.empty() && d.type == "m.tag") {
        const auto content = parse_json_object(d.content);
        const auto* tags = content ? get_object(*content, "tags") : nullptr;
        if (!tags) continue;
        for (const auto& [tag, _] : *tags) connection.tags[d.room_id].emplace(tag);
      }
    }
    connection.data_upto = pass.now.pos;
  }

  // Joined, invited and knocking rooms, and those just left.
  const auto matters = [&](const RoomRef& ref) {
    if (ref.forgotten || ref.membership == Membership::None) return false;
    return !gone(ref.membership) || (!pass.initial && ref.pos > pass.since.pos);
  };
  std::vector<std::int64_t> nums, cold;
  for (const auto& [num, ref] : user.rooms) {
    if (!matters(ref)) continue;
    nums.push_back(num);
    if (!rooms_.find(num)) cold.push_back(num);
  }
  if (!cold.empty()) {
    CO_TRY(pass.held, co_await rooms_.get_all(std::move(cold)));
  }
  struct Entry {
    Position stamp;
    std::int64_t num;
    RoomPtr room;
    Membership membership;
  };
  std::vector<Entry> all;
  all.reserve(nums.size());
  for (const auto num : nums) {
    const auto ref = user.rooms.find(num);
    auto room = rooms_.find(num);
    if (ref == user.rooms.end() || !room) continue;
    const auto membership = ref->second.membership;
    if (membership == Membership::Invite) {
      const auto* own = room->state("m.room.member", user.id);
      if (own && user.ignored.contains(own->sender)) continue;
    }
    const Position stamp = membership == Membership::Join ? bumps_.of(*room) : ref->second.pos;
    all.push_back({stamp, num, std::move(room), membership});
  }
  std::ranges::sort(all, [](const Entry& a, const Entry& b) { return std::pair(a.stamp, a.num) > std::pair(b.stamp, b.num); });

  sliding::View view{.fingerprint = body.fingerprint, .upto = upto};
  std::map<std::pair<const void*, const void*>, sliding::ConfigPtr> merged;
  const auto include = [&](std::int64_t num, const sliding::ConfigPtr& config) -> sliding::View::Seen& {
    auto& seen = view.rooms[num];
    if (!seen.config) {
      seen.config = config;
    } else if (seen.config != config) {
      auto& both = merged[{seen.config.get(), config.get()}];
      if (!both) {
        auto made = std::make_shared<sliding::RoomConfig>(*seen.config);
        made->add(*config);
        both = std::move(made);
      }
      seen.config = both;
    }
    return seen;
  };
  for (const auto& list : body.lists) {
    TextSet children;
    if (list.filters.spaces) {
      for (const auto& id : *list.filters.spaces) {
        const auto space = rooms_.find(id);
        if (space && space->membership(user.id) == Membership::Join) add_children(*space, children);
      }
    }
    std::vector<const Entry*> of_list;
    for (const auto& e : all) {
      const auto tags = connection.tags.find(e.room->id);
      const sliding::RoomTraits traits{.dm = connection.direct.contains(e.room->id),
                                       .encrypted = e.room->encrypted(),
                                       .invite = e.membership == Membership::Invite,
                                       .type = room_type(*e.room),
                                       .tags = tags == connection.tags.end() ? nullptr : &tags->second,
                                       .room_id = e.room->id};
      if (sliding::matches(list.filters, traits, children)) of_list.push_back(&e);
    }
    for (const auto place : sliding::places(list.ranges, of_list.size())) {
      auto& seen = include(of_list[place]->num, list.config);
      seen.account_data |= body.extensions.account_data.wants_list(list.name);
      seen.receipts |= body.extensions.receipts.wants_list(list.name);
      seen.typing |= body.extensions.typing.wants_list(list.name);
    }
    view.counts.emplace_back(list.name, of_list.size());
  }
  if (!body.subscriptions.empty()) {
    for (const auto& e : all) {
      const auto it = body.subscriptions.find(e.room->id);
      if (it == body.subscriptions.end()) continue;
      auto& seen = include(e.num, it->second);
      seen.account_data |= body.extensions.account_data.wants_subscription(e.room->id);
      seen.receipts |= body.extensions.receipts.wants_subscription(e.room->id);
      seen.typing |= body.extensions.typing.wants_subscription(e.room->id);
    }
  }
  const auto& before = connection.view;
  if (before.upto >= 0 && before.fingerprint == view.fingerprint && before.counts != view.counts) pass.anything = true;
  connection.view = std::move(view);
  co_return {};
}

Task<Result<>> SlidingSync::rooms_section(Pass& pass) {
  if (pass.connection->view.settled) co_return {};
  // A copy: another request may replace the view during a wait.
  const auto rooms = pass.connection->view.rooms;
  for (const auto& [num, seen] : rooms) {
    const auto ref = pass.user->rooms.find(num);
    auto room = rooms_.find(num);
    if (ref == pass.user->rooms.end() || !room) continue;
    const bool touched = pass.all_touched || pass.touched.contains(room->id);
    CO_TRY_DO(co_await room_block(pass, std::move(room), ref->second, seen.config, touched));
  }
  co_return {};
}

}  // namespace haechi::messenger
