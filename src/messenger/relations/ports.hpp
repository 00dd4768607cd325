#pragma once
#include <span>
#include <string>

#include "base/task.hpp"
#include "messenger/room/rooms.hpp"
#include "messenger/room/writer.hpp"

namespace haechi::messenger {

/// Event id -> JSON text of unsigned["m.relations"].
using Bundles = TextMap<std::string>;

class BundleReader {
 public:
  virtual ~BundleReader() = default;
  /// Bundled aggregations for those of `events` that have some, as `user` sees
  /// them. Without a wait and without SQL when no event of the room is related to
  /// (Room::parents is empty and all events are in memory).
  virtual Task<Result<Bundles>> bundles(RoomPtr room, std::string user, std::vector<EventPtr> events) = 0;
};

class RelationGuard {
 public:
  virtual ~RelationGuard() = default;
  /// What the server must refuse before it is sent: the same reaction twice
  /// (Errc::DuplicateAnnotation), a thread begun on an event that itself relates
  /// to another (Errc::Unknown). Without SQL for events that relate to nothing.
  virtual Task<Result<>> check(RoomPtr room, const NewEvent& event) = 0;
};

}  // namespace haechi::messenger
