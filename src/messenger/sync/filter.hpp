#pragma once
// Filters, parsed once. https://spec.matrix.org/v1.19/client-server-api/#filtering

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "messenger/room/room.hpp"

namespace haechi::messenger {

struct EventFilter {
  std::optional<std::vector<std::string>> types;  ///< globs
  std::vector<std::string> not_types;
  std::optional<std::vector<std::string>> senders;
  std::vector<std::string> not_senders;
  std::optional<std::size_t> limit;

  bool matches(std::string_view type, std::string_view sender) const;
  bool all() const { return !types && not_types.empty() && !senders && not_senders.empty(); }
};

struct RoomEventFilter : EventFilter {
  std::optional<bool> contains_url;
  std::optional<std::vector<std::string>> rooms;
  std::vector<std::string> not_rooms;
  bool lazy_load_members = false;
  bool include_redundant_members = false;
  bool unread_thread_notifications = false;
  /// GET /relations-like constraints of `/messages`: related_by_senders, related_by_rel_types.
  std::vector<std::string> related_by_rel_types;
  std::vector<std::string> related_by_senders;

  bool matches_room(std::string_view room_id) const;
  bool matches(const Event& e) const;
  bool everything() const {
    return all() && !contains_url && related_by_rel_types.empty() && related_by_senders.empty();
  }
};

struct Filter {
  EventFilter presence, account_data;
  std::optional<std::vector<std::string>> rooms;
  std::vector<std::string> not_rooms;
  bool include_leave = false;
  RoomEventFilter timeline, state, ephemeral, room_account_data;
  std::vector<std::string> event_fields;  ///< kept; answers carry at least these
  bool federation_format = false;

  bool wants_room(std::string_view room_id) const;

  /// Errc::InvalidParam / BadJson names the field that is wrong.
  static Result<Filter> parse(const json::object& definition);
};

/// For `/messages?filter=` and `/context?filter=`: a RoomEventFilter alone.
Result<RoomEventFilter> parse_room_event_filter(const json::object& o);

}  // namespace haechi::messenger
