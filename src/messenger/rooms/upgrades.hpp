#pragma once
#include "messenger/rooms/creator.hpp"

namespace haechi::messenger {

/// POST /rooms/{roomId}/upgrade: a new room takes an old one's place.
class Upgrades {
 public:
  Upgrades(Rooms& rooms, Writer& writer, Directory& directory, ProfileReader& profiles, RoomCreator& creator)
      : rooms_(rooms), writer_(writer), directory_(directory), profiles_(profiles), creator_(creator) {}

  /// The new room. Errc::Forbidden when the user may not send the tombstone.
  Task<Result<RoomPtr>> upgrade(std::string room_id, std::string user, std::string device, const RoomVersion& version,
                                std::vector<std::string> additional_creators);

 private:
  Rooms& rooms_;
  Writer& writer_;
  Directory& directory_;
  ProfileReader& profiles_;
  RoomCreator& creator_;
};

}  // namespace haechi::messenger
