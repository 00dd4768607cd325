// Which rooms a request looks at: the windows over its sorted lists, and its subscriptions.

#include <algorithm>

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

/// The configurations of rooms that several lists look at; few differ, so each union is made once.
class Merger {
 public:
  void add(sliding::ConfigPtr& into, const sliding::ConfigPtr& config) {
    if (!into) into = config;
    if (into == config) return;
    auto& both = made_[{into.get(), config.get()}];
    if (!both) {
      auto sum = std::make_shared<sliding::RoomConfig>(*into);
      sum->add(*config);
      both = std::move(sum);
    }
    into = both;
  }

 private:
  std::map<std::pair<const void*, const void*>, sliding::ConfigPtr> made_;
};

}  // namespace

// Made again only when something moved or the request is another one.
Task<Result<>> SlidingSync::refresh_view(Pass& pass) {
  auto& connection = *pass.connection;
  auto& user = *pass.user;
  const auto& body = pass.request.body;

  if (!pass.initial) {
    pass.all_touched = user.touched_from > pass.since.pos;
    for (auto it = user.touched.rbegin(); it != user.touched.rend() && it->pos > pass.since.pos; ++it) {
      if (const auto ref = user.rooms.find(it->room_num); ref != user.rooms.end())
        pass.touched.insert(ref->second.room_id);
    }
  }
  {
    const auto& view = connection.view;
    const bool moved = user.touched_from > view.upto ||
                       (!user.touched.empty() && user.touched.back().pos > view.upto) ||
                       user.account_data_pos > view.upto;
    if (view.upto >= 0 && view.fingerprint == body.fingerprint && !moved) co_return {};
  }
  // Memory may move on during the waits below; then the next pass looks again.
  const Position upto = journal_.position();

  if (connection.data_upto < 0 || user.account_data_pos > connection.data_upto) {
    CO_TRY(pass.all_data, co_await sources_.account_data.changed(pass.user, 0, pass.now.pos));
    connection.learn(*pass.all_data, pass.now.pos);
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
    if (!ref.room) cold.push_back(num);
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
  std::ranges::sort(
      all, [](const Entry& a, const Entry& b) { return std::pair(a.stamp, a.num) > std::pair(b.stamp, b.num); });

  sliding::View view{.fingerprint = body.fingerprint, .upto = upto};
  Merger merger;
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
      auto& seen = view.rooms[of_list[place]->num];
      merger.add(seen.config, list.config);
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
      auto& seen = view.rooms[e.num];
      merger.add(seen.config, it->second);
      seen.account_data |= body.extensions.account_data.wants_subscription(e.room->id);
      seen.receipts |= body.extensions.receipts.wants_subscription(e.room->id);
      seen.typing |= body.extensions.typing.wants_subscription(e.room->id);
    }
  }
  // A newer request on this connection has made its own.
  if (connection.requests != pass.ticket) co_return {};
  const auto& before = connection.view;
  if (before.upto >= 0 && before.fingerprint == view.fingerprint && before.counts != view.counts) pass.anything = true;
  connection.view = std::move(view);
  co_return {};
}

}  // namespace haechi::messenger
