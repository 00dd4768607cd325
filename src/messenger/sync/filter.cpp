#include "messenger/sync/filter.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kListMax = 1000;

Result<std::optional<std::vector<std::string>>> strings(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::nullopt;
  const auto* a = v->if_array();
  if (!a || a->size() > kListMax) return fail(Errc::BadJson, std::string(key) + " must be a list of strings");
  std::vector<std::string> out;
  for (const auto& item : *a) {
    if (!item.is_string()) return fail(Errc::BadJson, std::string(key) + " must be a list of strings");
    out.emplace_back(sv(item.get_string()));
  }
  return out;
}

Result<std::vector<std::string>> strings_or_none(const json::object& o, std::string_view key) {
  TRY(auto list, strings(o, key));
  return list ? *std::move(list) : std::vector<std::string>{};
}

/// Lists of ids are checked: a filter that can never match is a client's mistake.
Result<> check_each(const std::vector<std::string>& list, std::string_view key, bool (*valid)(std::string_view)) {
  for (const auto& item : list) {
    if (!valid(item))
      return fail(Errc::InvalidParam, std::string(key) + " names \"" + item + "\", which is no such id");
  }
  return {};
}
bool is_user(std::string_view text) { return parse_user_id(text).has_value(); }
bool is_room(std::string_view text) { return parse_room_id(text).has_value(); }

Result<bool> flag(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return false;
  if (!v->is_bool()) return fail(Errc::BadJson, std::string(key) + " must be true or false");
  return v->get_bool();
}

Result<> read_event_filter(const json::object& o, EventFilter& f) {
  TRY(f.types, strings(o, "types"));
  TRY(f.not_types, strings_or_none(o, "not_types"));
  TRY(f.senders, strings(o, "senders"));
  TRY(f.not_senders, strings_or_none(o, "not_senders"));
  if (f.senders) TRY_DO(check_each(*f.senders, "senders", is_user));
  TRY_DO(check_each(f.not_senders, "not_senders", is_user));
  if (const auto* v = get(o, "limit"); v && !v->is_null()) {
    if (!v->is_int64()) return fail(Errc::BadJson, "limit must be an integer");
    if (v->get_int64() < 0) return fail(Errc::InvalidParam, "limit must not be negative");
    f.limit = static_cast<std::size_t>(v->get_int64());
  }
  return {};
}

bool glob_any(const std::vector<std::string>& patterns, std::string_view text) {
  return std::ranges::any_of(patterns, [&](const std::string& p) {
    // Types are compared as they are written; only `*` is special.
    return p.find('*') == std::string::npos ? p == text : glob_match(p, text);
  });
}

bool has(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

Result<EventFilter> event_filter(const json::object& o, std::string_view key) {
  EventFilter f;
  const auto* v = get(o, key);
  if (!v || v->is_null()) return f;
  if (!v->is_object()) return fail(Errc::BadJson, std::string(key) + " must be an object");
  TRY_DO(read_event_filter(v->get_object(), f));
  return f;
}

Result<RoomEventFilter> room_filter(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return RoomEventFilter{};
  if (!v->is_object()) return fail(Errc::BadJson, std::string(key) + " must be an object");
  return parse_room_event_filter(v->get_object());
}

}  // namespace

bool EventFilter::matches(std::string_view type, std::string_view sender) const {
  if (types && !glob_any(*types, type)) return false;
  if (glob_any(not_types, type)) return false;
  if (senders && !has(*senders, sender)) return false;
  return !has(not_senders, sender);
}

bool RoomEventFilter::matches_room(std::string_view room_id) const {
  return (!rooms || has(*rooms, room_id)) && !has(not_rooms, room_id);
}

bool RoomEventFilter::matches(const Event& e) const {
  if (!EventFilter::matches(e.type, e.sender)) return false;
  if (contains_url) {
    const bool url =
        e.content().find("\"url\":") != std::string_view::npos && get_string(e.object(), "url").has_value();
    if (url != *contains_url) return false;
  }
  return true;
}

Result<RoomEventFilter> parse_room_event_filter(const json::object& o) {
  RoomEventFilter f;
  TRY_DO(read_event_filter(o, f));
  if (const auto* v = get(o, "contains_url"); v && !v->is_null()) {
    TRY(f.contains_url, flag(o, "contains_url"));
  }
  TRY(f.rooms, strings(o, "rooms"));
  TRY(f.not_rooms, strings_or_none(o, "not_rooms"));
  if (f.rooms) TRY_DO(check_each(*f.rooms, "rooms", is_room));
  TRY_DO(check_each(f.not_rooms, "not_rooms", is_room));
  TRY(f.lazy_load_members, flag(o, "lazy_load_members"));
  TRY(f.include_redundant_members, flag(o, "include_redundant_members"));
  TRY(f.unread_thread_notifications, flag(o, "unread_thread_notifications"));
  TRY(f.related_by_rel_types, strings_or_none(o, "related_by_rel_types"));
  TRY(f.related_by_senders, strings_or_none(o, "related_by_senders"));
  return f;
}

bool Filter::wants_room(std::string_view room_id) const {
  return (!rooms || has(*rooms, room_id)) && !has(not_rooms, room_id);
}

Result<Filter> Filter::parse(const json::object& definition) {
  Filter f;
  TRY(f.presence, event_filter(definition, "presence"));
  TRY(f.account_data, event_filter(definition, "account_data"));
  TRY(f.event_fields, strings_or_none(definition, "event_fields"));
  if (const auto* format = get(definition, "event_format"); format && !format->is_null()) {
    if (!format->is_string()) return fail(Errc::BadJson, "event_format must be a string");
    const auto text = sv(format->get_string());
    if (text != "client" && text != "federation")
      return fail(Errc::InvalidParam, "event_format is client or federation");
    f.federation_format = text == "federation";
  }
  const auto* room = get(definition, "room");
  if (!room || room->is_null()) return f;
  if (!room->is_object()) return fail(Errc::BadJson, "room must be an object");
  const auto& r = room->get_object();
  TRY(f.rooms, strings(r, "rooms"));
  TRY(f.not_rooms, strings_or_none(r, "not_rooms"));
  if (f.rooms) TRY_DO(check_each(*f.rooms, "rooms", is_room));
  TRY_DO(check_each(f.not_rooms, "not_rooms", is_room));
  TRY(f.include_leave, flag(r, "include_leave"));
  TRY(f.timeline, room_filter(r, "timeline"));
  TRY(f.state, room_filter(r, "state"));
  TRY(f.ephemeral, room_filter(r, "ephemeral"));
  TRY(f.room_account_data, room_filter(r, "account_data"));
  return f;
}

}  // namespace haechi::messenger
