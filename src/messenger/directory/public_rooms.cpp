#include "messenger/directory/public_rooms.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kLimitDefault = 100;
constexpr std::size_t kLimitMax = 500;

std::string text_of(const Room& room, std::string_view type, std::string_view key) {
  const auto* e = room.state(type);
  return e ? std::string(get_string(e->object(), key).value_or("")) : std::string();
}

bool has(std::string_view text, std::string_view lowered_term) {
  return to_lower_ascii(text).find(lowered_term) != std::string::npos;
}

}  // namespace

PublicRoom public_room_of(const Room& room) {
  PublicRoom p{.num = room.num,
               .room_id = room.id,
               .name = text_of(room, "m.room.name", "name"),
               .topic = text_of(room, "m.room.topic", "topic"),
               .avatar_url = text_of(room, "m.room.avatar", "url"),
               .canonical_alias = text_of(room, "m.room.canonical_alias", "alias"),
               .join_rule = text_of(room, "m.room.join_rules", "join_rule"),
               .room_type = text_of(room, "m.room.create", "type"),
               .joined = room.joined_count(),
               .world_readable = text_of(room, "m.room.history_visibility", "history_visibility") == "world_readable",
               .guest_can_join = text_of(room, "m.room.guest_access", "guest_access") == "can_join"};
  if (p.join_rule.empty()) p.join_rule = "invite";
  return p;
}

json::object to_json(const PublicRoom& room) {
  json::object o{{"room_id", room.room_id},
                 {"num_joined_members", room.joined},
                 {"world_readable", room.world_readable},
                 {"guest_can_join", room.guest_can_join},
                 {"join_rule", room.join_rule}};
  const auto add = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) o[key] = text;
  };
  add("name", room.name);
  add("topic", room.topic);
  add("avatar_url", room.avatar_url);
  add("canonical_alias", room.canonical_alias);
  add("room_type", room.room_type);
  return o;
}

Result<PublicRoomsQuery> public_rooms_query(const json::object& body) {
  PublicRoomsQuery q;
  if (const auto* limit = get(body, "limit"); limit && !limit->is_null()) {
    const auto n = get_int(body, "limit");
    if (!n || *n < 0) return fail(Errc::InvalidParam, "limit must be a number that is not negative");
    if (*n > 0) q.limit = static_cast<std::size_t>(*n);
  }
  if (const auto* since = get(body, "since"); since && !since->is_null()) {
    if (!since->is_string()) return fail(Errc::BadJson, "since must be a string");
    q.since = std::string(sv(since->get_string()));
  }
  const auto* filter = get(body, "filter");
  if (!filter || filter->is_null()) return q;
  if (!filter->is_object()) return fail(Errc::BadJson, "filter must be an object");
  q.term = std::string(get_string(filter->get_object(), "generic_search_term").value_or(""));
  if (const auto* types = get_array(filter->get_object(), "room_types"); types && !types->empty()) {
    q.room_types.emplace();
    for (const auto& v : *types) {
      if (v.is_null()) q.room_types->emplace_back();
      else if (v.is_string()) q.room_types->emplace_back(sv(v.get_string()));
      else return fail(Errc::BadJson, "room_types must hold strings or null");
    }
  }
  return q;
}

bool matches(const PublicRoom& room, const PublicRoomsQuery& query) {
  if (query.room_types && std::ranges::find(*query.room_types, room.room_type) == query.room_types->end()) return false;
  if (query.term.empty()) return true;
  const auto term = to_lower_ascii(query.term);
  return has(room.name, term) || has(room.topic, term) || has(room.canonical_alias, term);
}

Result<json::object> page_of(std::vector<const PublicRoom*> rooms, const PublicRoomsQuery& query) {
  std::size_t from = 0;
  if (!query.since.empty()) {
    const auto at = query.since.starts_with('o') ? parse_int(std::string_view(query.since).substr(1)) : std::nullopt;
    if (!at || *at < 0) return fail(Errc::InvalidParam, "since is not a token of this list");
    from = std::min(static_cast<std::size_t>(*at), rooms.size());
  }
  const auto limit = std::min(query.limit.value_or(kLimitDefault), kLimitMax);
  const auto end = std::min(from + limit, rooms.size());
  // Only what is shown needs its place in the order.
  std::ranges::partial_sort(rooms, rooms.begin() + static_cast<std::ptrdiff_t>(end), [](const auto* a, const auto* b) {
    return a->joined != b->joined ? a->joined > b->joined : a->num < b->num;
  });
  json::array chunk;
  for (auto i = from; i < end; ++i) chunk.push_back(to_json(*rooms[i]));
  json::object page{{"chunk", std::move(chunk)},
                    {"total_room_count_estimate", static_cast<std::int64_t>(rooms.size())}};
  if (end < rooms.size()) page["next_batch"] = "o" + std::to_string(end);
  if (from > 0) page["prev_batch"] = "o" + std::to_string(from > limit ? from - limit : 0);
  return page;
}

}  // namespace haechi::messenger
