#pragma once
// Who may do what in a room. A view over the state's JSON: it copies nothing,
// costs a few look-ups to build and is meant to be kept beside the room's
// state, rebuilt when m.room.create or m.room.power_levels change.

#include <cstdint>
#include <limits>
#include <string_view>

#include "base/json.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

class PowerLevels {
 public:
  /// The power of creators from room version 12 on: above every level that can be written.
  static constexpr std::int64_t kInfinite = std::numeric_limits<std::int64_t>::max();

  /// `content` is that of m.room.power_levels, null when the room has none; `create` that of
  /// m.room.create, null before it exists. Both, and `create_sender`, must outlive this object.
  PowerLevels(const RoomVersion& version, const json::object* content, const json::object* create,
              std::string_view create_sender);

  std::int64_t user_level(std::string_view user) const;
  /// What it takes to send an event of this type.
  std::int64_t event_level(std::string_view type, bool is_state) const;

  std::int64_t users_default() const { return users_default_; }
  std::int64_t events_default() const { return events_default_; }
  std::int64_t state_default() const { return state_default_; }
  std::int64_t invite() const { return invite_; }
  std::int64_t kick() const { return kick_; }
  std::int64_t ban() const { return ban_; }
  std::int64_t redact() const { return redact_; }
  /// What it takes for "@room" to notify everybody (`room`), 50 unless set.
  std::int64_t notification(std::string_view key) const;

  bool can_send(std::string_view user, std::string_view type, bool is_state) const {
    return user_level(user) >= event_level(type, is_state);
  }
  /// A creator in the sense of the room's version: from 12 on there may be several.
  bool is_creator(std::string_view user) const;

 private:
  const RoomVersion* version_;
  const json::object* users_ = nullptr;
  const json::object* events_ = nullptr;
  const json::object* notifications_ = nullptr;
  const json::array* additional_creators_ = nullptr;
  std::string_view creator_;
  bool has_event_;
  std::int64_t users_default_ = 0;
  std::int64_t events_default_ = 0;
  std::int64_t state_default_ = 50;
  std::int64_t invite_ = 0;
  std::int64_t kick_ = 50;
  std::int64_t ban_ = 50;
  std::int64_t redact_ = 50;
};

}  // namespace haechi::messenger
