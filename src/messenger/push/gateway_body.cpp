// What a push gateway is told of one event.
#include "messenger/push/gateway.hpp"

namespace haechi::messenger {
namespace {

std::optional<std::string_view> state_text(const Room& room, std::string_view type, std::string_view state_key,
                                           std::string_view member) {
  const auto* event = room.state(type, state_key);
  const auto text = event ? get_string(event->object(), member) : std::nullopt;
  return text && !text->empty() ? text : std::nullopt;
}

json::object device_of(const Pusher& pusher, const PushNotice& notice) {
  json::object data = pusher.data;
  data.erase("url");
  json::object device{{"app_id", pusher.app_id},
                      {"pushkey", pusher.pushkey},
                      {"pushkey_ts", pusher.ts / 1000},
                      {"data", std::move(data)}};
  json::object tweaks;
  if (!notice.sound.empty()) tweaks["sound"] = notice.sound;
  if (notice.highlight) tweaks["highlight"] = true;
  if (notice.event) device["tweaks"] = std::move(tweaks);
  return device;
}

void add_details(json::object& out, const Pusher& pusher, const Room& room, const Event& event) {
  out["type"] = event.type;
  out["sender"] = event.sender;
  out["content"] = event.object();
  if (const auto name = state_text(room, "m.room.member", event.sender, "displayname"))
    out["sender_display_name"] = *name;
  if (const auto name = state_text(room, "m.room.name", "", "name")) out["room_name"] = *name;
  if (const auto alias = state_text(room, "m.room.canonical_alias", "", "alias")) out["room_alias"] = *alias;
  if (event.type == "m.room.member" && event.state_key) out["user_is_target"] = *event.state_key == pusher.user_id;
}

}  // namespace

std::string push_body(const Pusher& pusher, const PushNotice& notice, std::int64_t unread) {
  json::object out{{"counts", json::object{{"unread", unread}}}};
  json::array devices;
  devices.push_back(device_of(pusher, notice));
  out["devices"] = std::move(devices);
  if (notice.event) {
    const auto& event = *notice.event;
    const bool urgent = notice.highlight || !notice.sound.empty() || event.type == "m.room.encrypted";
    out["event_id"] = event.event_id;
    out["room_id"] = notice.room->id;
    out["prio"] = urgent ? "high" : "low";
    if (!pusher.event_id_only()) add_details(out, pusher, *notice.room, event);
  } else {
    out["prio"] = "low";
  }
  return to_text(json::object{{"notification", std::move(out)}});
}

}  // namespace haechi::messenger
