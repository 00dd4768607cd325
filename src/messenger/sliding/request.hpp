#pragma once
// What a sliding sync request asks for, checked and in our own types.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "messenger/room/room.hpp"

namespace haechi::messenger::sliding {

/// A set of (type, state key) patterns: "*" stands for any, "$ME" for the asking
/// user, "$LAZY" (members only) for those who speak in the timeline.
class RequiredState {
 public:
  void add(std::string_view type, std::string_view key);
  void add(const RequiredState& other);
  /// Members that only "$LAZY" asks for do not match.
  bool matches(std::string_view type, std::string_view key, std::string_view self) const;
  bool lazy() const { return lazy_; }
  /// Everything that `other` matches is matched here. May say no where that is
  /// so only by several patterns together.
  bool covers(const RequiredState& other) const;
  bool empty() const { return keys_.empty() && !lazy_; }
  /// Patterns in it.
  std::size_t size() const;

  /// Calls `f(event)` for every matching piece of the room's current state.
  template <class F>
  void each(const Room& room, std::string_view self, F f) const {
    const auto of_type = [&](const Room::StateByKey& by_key, const TextSet& keys) {
      if (keys.contains("*")) {
        for (const auto& [key, e] : by_key) f(e);
        return true;
      }
      for (const auto& key : keys) {
        const auto it = by_key.find(key == "$ME" ? self : std::string_view(key));
        if (it != by_key.end()) f(it->second);
      }
      return false;
    };
    const auto any = keys_.find(std::string_view("*"));
    if (any == keys_.end()) {
      for (const auto& [type, keys] : keys_) {
        if (const auto it = room.state().find(type); it != room.state().end()) of_type(it->second, keys);
      }
      return;
    }
    for (const auto& [type, by_key] : room.state()) {
      for (const auto& [key, e] : by_key) {
        if (matches(type, key, self)) f(e);
      }
    }
  }

 private:
  TextMap<TextSet> keys_;  ///< type -> state keys
  bool lazy_ = false;
};

struct RoomConfig {
  std::size_t timeline_limit = 0;
  RequiredState state;
  void add(const RoomConfig& other);
};
using ConfigPtr = std::shared_ptr<const RoomConfig>;

/// Absent members do not filter.
struct ListFilters {
  std::optional<bool> is_dm, is_encrypted, is_invite;
  std::optional<std::vector<std::string>> spaces, tags, not_tags;
  /// An empty text stands for rooms without a type (null).
  std::optional<std::vector<std::string>> room_types, not_room_types;
};

/// What the filters look at.
struct RoomTraits {
  bool dm = false;
  bool encrypted = false;
  bool invite = false;
  std::string_view type;
  const TextSet* tags = nullptr;
  std::string_view room_id;
};
/// `children`: ids of the rooms in the spaces that the filter names.
bool matches(const ListFilters& filters, const RoomTraits& room, const TextSet& children);

using Range = std::pair<std::size_t, std::size_t>;  ///< both ends included

struct ListRequest {
  std::string name;
  std::optional<std::vector<Range>> ranges;  ///< nothing: all rooms
  ListFilters filters;
  ConfigPtr config;
};

/// The places within a list of `count` rooms that `ranges` cover, each once, in order.
std::vector<std::size_t> places(const std::optional<std::vector<Range>>& ranges, std::size_t count);

/// Extensions that speak of rooms may be narrowed to some lists and subscriptions.
struct RoomsExtension {
  bool enabled = false;
  std::optional<std::vector<std::string>> lists, rooms;  ///< nothing or "*": all
  bool wants_list(std::string_view name) const;
  bool wants_subscription(std::string_view room_id) const;
};

struct Extensions {
  bool to_device = false;
  Position to_device_since = 0;
  std::size_t to_device_limit = 100;
  bool e2ee = false;
  RoomsExtension account_data, receipts, typing;
};

struct Request {
  std::string conn_id;
  std::vector<ListRequest> lists;
  TextMap<ConfigPtr> subscriptions;  ///< by room id
  Extensions extensions;
  /// Equal for equal lists, subscriptions and extension scopes.
  std::size_t fingerprint = 0;

  /// Errc::InvalidParam or BadJson names what is wrong.
  static Result<Request> parse(const json::object& body);
};

}  // namespace haechi::messenger::sliding
