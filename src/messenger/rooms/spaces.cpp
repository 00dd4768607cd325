#include "messenger/rooms/spaces.hpp"

#include <algorithm>
#include <ranges>
#include <unordered_set>

#include "base/text.hpp"
#include "messenger/directory/public_rooms.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

/// Rooms that one walk looks at; a space beyond it is cut off.
constexpr std::size_t kVisitedMax = 10'000;

std::string_view text_of(const Room& room, std::string_view type, std::string_view key) {
  const auto* e = room.state(type);
  return e ? get_string(e->object(), key).value_or("") : std::string_view{};
}

bool is_space(const Room& room) { return text_of(room, "m.room.create", "type") == "m.space"; }

/// "order: a string of at most 50 characters in the range \x20 to \x7E"; others count as absent.
std::optional<std::string_view> order_of(const Event& child) {
  const auto order = get_string(child.object(), "order");
  if (!order || order->size() > 50) return std::nullopt;
  if (std::ranges::any_of(*order, [](char c) { return c < 0x20 || c > 0x7e; })) return std::nullopt;
  return order;
}

bool suggested(const Event& child) { return get_flag(child.object(), "suggested"); }

json::object stripped(const Event& e) {
  return {{"type", e.type},
          {"state_key", *e.state_key},
          {"sender", e.sender},
          {"content", e.object()},
          {"origin_server_ts", e.ts}};
}

json::array allowed_rooms(const Room& room) {
  json::array out;
  const auto* rules = room.state("m.room.join_rules");
  const auto* allow = rules ? get_array(rules->object(), "allow") : nullptr;
  if (!allow) return out;
  for (const auto& v : *allow) {
    const auto* o = v.if_object();
    if (!o || get_string(*o, "type") != "m.room_membership") continue;
    if (const auto id = get_string(*o, "room_id")) out.emplace_back(*id);
  }
  return out;
}

bool is_restricted(const Room& room) {
  const auto rule = text_of(room, "m.room.join_rules", "join_rule");
  return rule == "restricted" || rule == "knock_restricted";
}

// A token says how far the walk came and which walk it was.
std::string token_of(const Spaces::Walk& walk, std::size_t done) {
  return std::to_string(done) + '_' + std::to_string(walk.max_depth) + '_' + (walk.suggested_only ? '1' : '0');
}

Result<std::size_t> done_before(const Spaces::Walk& walk) {
  if (walk.from.empty()) return 0;
  const auto done = parse_int(std::string_view(walk.from).substr(0, walk.from.find('_')));
  if (!done || *done < 0 || token_of(walk, static_cast<std::size_t>(*done)) != walk.from) {
    return fail(Errc::InvalidParam, "from is not a token of this walk");
  }
  return static_cast<std::size_t>(*done);
}

}  // namespace

std::vector<EventPtr> ordered_children(const Room& space) {
  std::vector<EventPtr> children;
  if (const auto it = space.state().find("m.space.child"); it != space.state().end()) {
    for (const auto& [key, e] : it->second) {
      const auto* via = get_array(e->object(), "via");
      if (via && !via->empty()) children.push_back(e);
    }
  }
  std::ranges::sort(children, [](const EventPtr& a, const EventPtr& b) {
    const auto x = order_of(*a);
    const auto y = order_of(*b);
    if (x.has_value() != y.has_value()) return x.has_value();
    if (x && *x != *y) return *x < *y;
    return a->ts != b->ts ? a->ts < b->ts : *a->state_key < *b->state_key;
  });
  return children;
}

json::object room_summary(const Room& room) {
  auto o = to_json(public_room_of(room));
  o["room_version"] = room.version.id;
  if (const auto algorithm = text_of(room, "m.room.encryption", "algorithm"); !algorithm.empty())
    o["encryption"] = algorithm;
  if (is_restricted(room)) o["allowed_room_ids"] = allowed_rooms(room);
  return o;
}

Task<bool> Spaces::may_look(RoomPtr room, std::string user) {
  if (!user.empty()) {
    const auto m = room->membership(user);
    if (m == Membership::Join || m == Membership::Invite) co_return true;
  }
  const auto rule = text_of(*room, "m.room.join_rules", "join_rule");
  if (rule == "public" || rule == "knock" || rule == "knock_restricted") co_return true;
  if (text_of(*room, "m.room.history_visibility", "history_visibility") == "world_readable") co_return true;
  if (user.empty() || rule != "restricted") co_return false;
  for (const auto& id : allowed_rooms(*room)) {
    const auto other = co_await rooms_.get(std::string(sv(id.as_string())));
    if (other && (*other)->membership(user) == Membership::Join) co_return true;
  }
  co_return false;
}

Task<Result<json::object>> Spaces::summary(std::string room_id, std::string user) {
  CO_TRY(const auto room, co_await rooms_.get(std::move(room_id)));
  if (!co_await may_look(room, user)) co_return fail(Errc::NotFound, "No such room");
  auto o = room_summary(*room);
  if (!user.empty()) {
    const auto m = room->membership(user);
    o["membership"] = m == Membership::None ? "leave" : membership_text(m);
  }
  co_return o;
}

Task<Result<Spaces::Page>> Spaces::hierarchy(std::string root, std::string user, Walk walk) {
  CO_TRY(const auto skip, done_before(walk));
  struct Step {
    std::string room_id;
    std::size_t depth;
  };
  std::vector<Step> todo{{root, 0}};
  std::unordered_set<std::string> seen;
  std::size_t shown = 0;
  Page page;
  while (!todo.empty() && seen.size() < kVisitedMax) {
    const auto step = std::move(todo.back());
    todo.pop_back();
    if (!seen.insert(step.room_id).second) continue;
    auto found = co_await rooms_.get(step.room_id);
    const bool visible = found && co_await may_look(*found, user);
    if (!visible) {
      if (step.depth == 0) co_return fail(Errc::Forbidden, "You may not see this space");
      continue;
    }
    const auto room = *std::move(found);
    std::vector<EventPtr> children;
    if (is_space(*room)) children = ordered_children(*room);
    if (walk.suggested_only) std::erase_if(children, [](const EventPtr& e) { return !suggested(*e); });
    if (shown++ >= skip) {
      if (page.rooms.size() == walk.limit) {
        page.next = token_of(walk, skip + walk.limit);
        co_return page;
      }
      auto o = room_summary(*room);
      json::array state;
      for (const auto& c : children) state.push_back(stripped(*c));
      o["children_state"] = std::move(state);
      page.rooms.push_back(std::move(o));
    }
    if (step.depth >= walk.max_depth) continue;
    // The last one put on the stack is looked at first.
    for (const auto& c : children | std::views::reverse) todo.push_back({*c->state_key, step.depth + 1});
  }
  co_return page;
}

}  // namespace haechi::messenger
