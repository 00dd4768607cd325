#pragma once
// What POST /createRoom asks for, and the events that answer it. Pure: no I/O.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "messenger/event/room_version.hpp"
#include "messenger/rooms/ports.hpp"

namespace haechi::messenger {

enum class Preset { PrivateChat, TrustedPrivateChat, PublicChat };

struct InitialState {
  std::string type;
  std::string state_key;
  json::object content;
};

struct RoomPlan {
  const RoomVersion* version = nullptr;
  Preset preset = Preset::PrivateChat;
  bool published = false;
  bool is_direct = false;
  std::optional<std::string> alias;  ///< whole: "#name:server"
  std::optional<std::string> name;
  std::optional<std::string> topic;
  std::vector<std::string> invite;  ///< user ids, each once, never the creator
  std::vector<InitialState> initial_state;
  json::object creation_content;
  json::object power_levels_override;
};

/// Errc::BadJson, InvalidParam, UnsupportedRoomVersion, InvalidRoomState, ThreepidDenied.
Result<RoomPlan> plan_room(const json::object& body, std::string_view creator, std::string_view server_name,
                           std::string_view default_version);

/// One event of a room to be made; the creator sends all of them.
struct PlannedEvent {
  std::string type;
  std::string state_key;
  json::object content;
};

/// In the order that the specification gives. `invited` are the profiles of plan.invite.
std::vector<PlannedEvent> room_events(const RoomPlan& plan, std::string_view creator, const Profile& own,
                                      const std::vector<Profile>& invited);

json::object create_content(const RoomPlan& plan, std::string_view creator);
json::object default_power_levels(const RoomPlan& plan, std::string_view creator);
json::object member_content(std::string_view membership, const Profile& profile);
/// {"topic", "m.topic"}: plain, and as extensible text.
json::object topic_content(std::string_view topic);

}  // namespace haechi::messenger
