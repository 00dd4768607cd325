#pragma once
// The authorization rules of room versions 10, 11 and 12.
// https://spec.matrix.org/latest/rooms/v11/#authorization-rules

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "messenger/event/power_levels.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

/// The event in question. Views: what they point at must outlive the call.
struct AuthEvent {
  std::string_view room_id;  ///< empty for the create event of room version 12
  std::string_view sender;
  std::string_view type;
  std::optional<std::string_view> state_key;
  const json::object* content = nullptr;  ///< never null
  /// The events before this one. Only whether there are none, and whether the
  /// only one is the create event, decides anything.
  std::span<const std::string_view> prev_events;
};

/// The room's state before the event. Implemented by the room's model; the
/// pointers live as long as the state is not changed.
class StateView {
 public:
  virtual ~StateView() = default;
  /// Content of the current state event, null when there is none.
  virtual const json::object* content(std::string_view type, std::string_view state_key) const = 0;
  /// Its sender; empty when there is none.
  virtual std::string_view sender(std::string_view type, std::string_view state_key) const = 0;
  /// Empty before the room exists.
  virtual std::string_view create_event_id() const = 0;
  /// A model that keeps the levels at hand returns them here.
  virtual const PowerLevels* power_levels() const { return nullptr; }
};

/// EventErrc::Forbidden, with the reason, when the rules refuse the event;
/// EventErrc::BadJson when its content has the wrong form. Signatures (of the
/// event, and of the server that join_authorised_via_users_server names) and
/// the choice of auth_events are checked elsewhere.
Result<> authorize(const RoomVersion& version, const AuthEvent& event, const StateView& state);

struct AuthKey {
  std::string_view type;
  std::string_view state_key;
  bool operator==(const AuthKey&) const = default;
};
using AuthKeys = boost::container::static_vector<AuthKey, 8>;

/// Which state events belong into auth_events (those that exist). From room
/// version 12 on the create event is implied and not among them.
AuthKeys auth_event_keys(const RoomVersion& version, const AuthEvent& event);

/// For events from elsewhere: no duplicates, and only what auth_event_keys names.
Result<> check_auth_selection(const RoomVersion& version, const AuthEvent& event, std::span<const AuthKey> chosen);

/// Whether a redaction that the rules let in is also applied: by power, or because the event is one's own.
Result<> may_redact(const PowerLevels& levels, std::string_view sender, std::string_view sender_of_redacted);

/// The levels of `state`, cached or built.
PowerLevels power_levels_of(const RoomVersion& version, const StateView& state);
/// "leave" when there is no membership event.
std::string_view membership_of(const StateView& state, std::string_view user);
/// "invite" when there is no m.room.join_rules event, as the rules say.
std::string_view join_rule_of(const StateView& state);

}  // namespace haechi::messenger
