#include "messenger/sliding/request.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger::sliding {
namespace {

constexpr std::size_t kListsMax = 100;
constexpr std::size_t kSubscriptionsMax = 1000;
constexpr std::size_t kRangesMax = 100;
constexpr std::size_t kStatePatternsMax = 500;
constexpr std::int64_t kTimelineMax = 1000;
constexpr std::int64_t kToDeviceMax = 1000;
constexpr std::size_t kNameMax = 64;
constexpr std::size_t kConnIdMax = 255;

auto wrong(std::string_view what) { return fail(Errc::InvalidParam, std::string(what)); }

Result<const json::object*> object_at(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return nullptr;
  if (!v->is_object()) return wrong(std::string(key) + " must be an object");
  return &v->get_object();
}

Result<std::optional<bool>> bool_at(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_bool()) return wrong(std::string(key) + " must be true or false");
  return v->get_bool();
}

enum class Nulls { Refused, AreEmpty };

Result<std::optional<std::vector<std::string>>> strings_at(const json::object& o, std::string_view key,
                                                           Nulls nulls = Nulls::Refused) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_array()) return wrong(std::string(key) + " must be an array");
  std::vector<std::string> out;
  for (const auto& item : v->get_array()) {
    if (item.is_string()) out.emplace_back(sv(item.get_string()));
    else if (item.is_null() && nulls == Nulls::AreEmpty) out.emplace_back();
    else return wrong(std::string(key) + " must hold strings");
  }
  return out;
}

Result<RequiredState> parse_required_state(const json::object& o) {
  RequiredState out;
  const auto* v = get(o, "required_state");
  if (!v || v->is_null()) return out;
  const json::array* patterns = nullptr;
  if (v->is_array()) {
    patterns = &v->get_array();
  } else if (v->is_object()) {
    // The later form: {"include": [{"type", "state_key"}], "lazy_members": true}.
    patterns = get_array(v->get_object(), "include");
    if (get_flag(v->get_object(), "lazy_members")) out.add("m.room.member", "$LAZY");
    if (!patterns) return out;
  } else {
    return wrong("required_state must be an array");
  }
  if (patterns->size() > kStatePatternsMax) return wrong("required_state has too many entries");
  for (const auto& p : *patterns) {
    if (p.is_object()) {
      out.add(get_string(p.get_object(), "type").value_or("*"), get_string(p.get_object(), "state_key").value_or("*"));
      continue;
    }
    if (!p.is_array() || p.get_array().size() != 2 || !p.get_array()[0].is_string() || !p.get_array()[1].is_string()) {
      return wrong("required_state must hold pairs of an event type and a state key");
    }
    out.add(sv(p.get_array()[0].get_string()), sv(p.get_array()[1].get_string()));
  }
  return out;
}

Result<ConfigPtr> parse_config(const json::object& o) {
  auto out = std::make_shared<RoomConfig>();
  if (const auto* limit = get(o, "timeline_limit"); limit && !limit->is_null()) {
    const auto n = get_int(o, "timeline_limit");
    if (!n || *n < 0) return wrong("timeline_limit must be a number, zero or more");
    out->timeline_limit = static_cast<std::size_t>(std::min(*n, kTimelineMax));
  }
  TRY(out->state, parse_required_state(o));
  return out;
}

Result<Range> parse_range(const json::value& v) {
  const auto whole = [](const json::value& n) -> std::optional<std::size_t> {
    if (!n.is_int64() || n.get_int64() < 0) return std::nullopt;
    return static_cast<std::size_t>(n.get_int64());
  };
  if (!v.is_array() || v.get_array().size() != 2) return wrong("a range must be two numbers");
  const auto first = whole(v.get_array()[0]), last = whole(v.get_array()[1]);
  if (!first || !last) return wrong("a range must be two numbers, zero or more");
  if (*first > *last) return wrong("a range must not end before it begins");
  return Range{*first, *last};
}

Result<std::optional<std::vector<Range>>> parse_ranges(const json::object& o) {
  if (const auto* one = get(o, "range"); one && !one->is_null()) {
    TRY(const auto range, parse_range(*one));
    return std::vector{range};
  }
  const auto* v = get(o, "ranges");
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_array()) return wrong("ranges must be an array");
  if (v->get_array().size() > kRangesMax) return wrong("too many ranges");
  std::vector<Range> out;
  for (const auto& r : v->get_array()) {
    TRY(const auto range, parse_range(r));
    out.push_back(range);
  }
  return out;
}

Result<ListFilters> parse_filters(const json::object& list) {
  ListFilters f;
  TRY(const auto* o, object_at(list, "filters"));
  if (!o) return f;
  TRY(f.is_dm, bool_at(*o, "is_dm"));
  TRY(f.is_encrypted, bool_at(*o, "is_encrypted"));
  TRY(f.is_invite, bool_at(*o, "is_invite"));
  TRY(f.spaces, strings_at(*o, "spaces"));
  TRY(f.tags, strings_at(*o, "tags"));
  TRY(f.not_tags, strings_at(*o, "not_tags"));
  TRY(f.room_types, strings_at(*o, "room_types", Nulls::AreEmpty));
  TRY(f.not_room_types, strings_at(*o, "not_room_types", Nulls::AreEmpty));
  return f;
}

Result<RoomsExtension> parse_rooms_extension(const json::object& extensions, std::string_view name) {
  RoomsExtension out;
  TRY(const auto* o, object_at(extensions, name));
  if (!o) return out;
  TRY(const auto enabled, bool_at(*o, "enabled"));
  out.enabled = enabled.value_or(false);
  TRY(out.lists, strings_at(*o, "lists"));
  TRY(out.rooms, strings_at(*o, "rooms"));
  return out;
}

Result<Extensions> parse_extensions(const json::object& body) {
  Extensions out;
  TRY(const auto* o, object_at(body, "extensions"));
  if (!o) return out;
  TRY(const auto* mail, object_at(*o, "to_device"));
  if (mail) {
    TRY(const auto enabled, bool_at(*mail, "enabled"));
    out.to_device = enabled.value_or(false);
    if (const auto* since = get(*mail, "since"); since && !since->is_null()) {
      const auto text = get_string(*mail, "since");
      const auto n = text ? parse_int(*text) : std::nullopt;
      if (!n || *n < 0) return wrong("extensions.to_device.since is not a token of this server");
      out.to_device_since = *n;
    }
    if (const auto* limit = get(*mail, "limit"); limit && !limit->is_null()) {
      const auto n = get_int(*mail, "limit");
      if (!n || *n < 1) return wrong("extensions.to_device.limit must be a number above zero");
      out.to_device_limit = static_cast<std::size_t>(std::min(*n, kToDeviceMax));
    }
  }
  TRY(const auto* e2ee, object_at(*o, "e2ee"));
  if (e2ee) {
    TRY(const auto enabled, bool_at(*e2ee, "enabled"));
    out.e2ee = enabled.value_or(false);
  }
  TRY(out.account_data, parse_rooms_extension(*o, "account_data"));
  TRY(out.receipts, parse_rooms_extension(*o, "receipts"));
  TRY(out.typing, parse_rooms_extension(*o, "typing"));
  return out;
}

bool has(const std::optional<std::vector<std::string>>& names, std::string_view name) {
  return !names || std::ranges::any_of(*names, [&](const std::string& n) { return n == "*" || n == name; });
}

std::size_t fingerprint_of(const json::object& body) {
  std::string text;
  for (const auto* key : {"lists", "room_subscriptions"}) {
    if (const auto* v = get(body, key)) text += to_text(*v);
    text += '\n';
  }
  if (const auto* extensions = get_object(body, "extensions")) {
    for (const auto* key : {"account_data", "receipts", "typing"}) {
      if (const auto* v = get(*extensions, key)) text += to_text(*v);
      text += '\n';
    }
  }
  return std::hash<std::string>{}(text);
}

}  // namespace

void RequiredState::add(std::string_view type, std::string_view key) {
  if (key == "$LAZY") {
    // Of anything but members it would mean nothing.
    if (type == "m.room.member") lazy_ = true;
    return;
  }
  auto it = keys_.find(type);
  if (it == keys_.end()) it = keys_.emplace(std::string(type), TextSet{}).first;
  it->second.emplace(key);
}

void RequiredState::add(const RequiredState& other) {
  lazy_ |= other.lazy_;
  for (const auto& [type, keys] : other.keys_) {
    for (const auto& key : keys) add(type, key);
  }
}

std::size_t RequiredState::size() const {
  std::size_t n = lazy_ ? 1 : 0;
  for (const auto& [type, keys] : keys_) n += keys.size();
  return n;
}

bool RequiredState::matches(std::string_view type, std::string_view key, std::string_view self) const {
  for (const auto pattern : {type, std::string_view("*")}) {
    const auto it = keys_.find(pattern);
    if (it == keys_.end()) continue;
    const auto& keys = it->second;
    if (keys.contains("*") || keys.contains(key) || (key == self && keys.contains("$ME"))) return true;
  }
  return false;
}

bool RequiredState::covers(const RequiredState& other) const {
  // Whoever has all members needs no lazy ones.
  if (other.lazy_ && !lazy_ && !matches("m.room.member", "*", {})) return false;
  return std::ranges::all_of(other.keys_, [&](const auto& entry) {
    return std::ranges::all_of(entry.second, [&](const std::string& key) { return matches(entry.first, key, {}); });
  });
}

void RoomConfig::add(const RoomConfig& other) {
  timeline_limit = std::max(timeline_limit, other.timeline_limit);
  state.add(other.state);
}

bool matches(const ListFilters& f, const RoomTraits& room, const TextSet& children) {
  const auto among = [](const std::vector<std::string>& list, std::string_view text) {
    return std::ranges::find(list, text) != list.end();
  };
  const auto tagged = [&](const std::vector<std::string>& list) {
    return room.tags && std::ranges::any_of(list, [&](const std::string& tag) { return room.tags->contains(tag); });
  };
  if (f.is_dm && *f.is_dm != room.dm) return false;
  if (f.is_encrypted && *f.is_encrypted != room.encrypted) return false;
  if (f.is_invite && *f.is_invite != room.invite) return false;
  if (f.room_types && !among(*f.room_types, room.type)) return false;
  if (f.not_room_types && among(*f.not_room_types, room.type)) return false;
  if (f.tags && !tagged(*f.tags)) return false;
  if (f.not_tags && tagged(*f.not_tags)) return false;
  return !f.spaces || children.contains(room.room_id);
}

std::vector<std::size_t> places(const std::optional<std::vector<Range>>& ranges, std::size_t count) {
  std::vector<std::size_t> out;
  const auto add = [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i <= last && i < count; ++i) out.push_back(i);
  };
  if (!ranges) {
    if (count > 0) add(0, count - 1);
    return out;
  }
  auto sorted = *ranges;
  std::ranges::sort(sorted);
  std::size_t next = 0;
  for (const auto& [first, last] : sorted) {
    add(std::max(first, next), last);
    next = std::max(next, last == SIZE_MAX ? last : last + 1);
  }
  return out;
}

bool RoomsExtension::wants_list(std::string_view name) const { return enabled && has(lists, name); }
bool RoomsExtension::wants_subscription(std::string_view room_id) const { return enabled && has(rooms, room_id); }

Result<Request> Request::parse(const json::object& body) {
  Request out;
  if (const auto* id = get(body, "conn_id"); id && !id->is_null()) {
    const auto text = get_string(body, "conn_id");
    if (!text || text->size() > kConnIdMax) return wrong("conn_id must be a short string");
    out.conn_id = *text;
  }
  TRY(const auto* lists, object_at(body, "lists"));
  if (lists) {
    if (lists->size() > kListsMax) return wrong("too many lists");
    for (const auto& [name, value] : *lists) {
      if (name.size() > kNameMax) return wrong("the name of a list is too long");
      if (!value.is_object()) return wrong("a list must be an object");
      ListRequest list{.name = std::string(name), .ranges = {}, .filters = {}, .config = {}};
      TRY(list.ranges, parse_ranges(value.get_object()));
      TRY(list.filters, parse_filters(value.get_object()));
      TRY(list.config, parse_config(value.get_object()));
      out.lists.push_back(std::move(list));
    }
  }
  TRY(const auto* subscriptions, object_at(body, "room_subscriptions"));
  if (subscriptions) {
    if (subscriptions->size() > kSubscriptionsMax) return wrong("too many room subscriptions");
    for (const auto& [room, value] : *subscriptions) {
      if (!value.is_object()) return wrong("a room subscription must be an object");
      TRY(auto config, parse_config(value.get_object()));
      out.subscriptions.emplace(std::string(room), std::move(config));
    }
  }
  TRY(out.extensions, parse_extensions(body));
  out.fingerprint = fingerprint_of(body);
  return out;
}

}  // namespace haechi::messenger::sliding
